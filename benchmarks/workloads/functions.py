"""Cold start of each Lambda function against the bare imports that it cannot avoid, and the size of its package."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

from benchmarks.measure import Spread, Way, interleaved, ratios, run
from benchmarks.places import FUNCTIONS, NO_AWS, OWN, ROOT, Bench, as_deployed, packages_of
from benchmarks.report import Table

NAMES = (
    "process_batch_stock_data",
    "process_stock_stream_data",
    "generate_stock_batch_data",
    "write_records_to_stream",
)
# The third-party imports that any code for this work would need: a client, Arrow's parts, the logger.
_ALWAYS = "import numpy, pyarrow, pyarrow.compute, boto3\nfrom aws_lambda_powertools import Logger, Metrics\n"
_S3, _KINESIS = "boto3.client('s3')\n", "boto3.client('kinesis')\n"
UNAVOIDABLE = {
    "process_batch_stock_data": _ALWAYS + "import pyarrow.csv, pyarrow.parquet\n" + _S3,
    "process_stock_stream_data": _ALWAYS + "import pyarrow.parquet, orjson\n" + _S3,
    "generate_stock_batch_data": _ALWAYS + "import pyarrow.csv\n" + _S3,
    "write_records_to_stream": _ALWAYS + _KINESIS,
}
_SETTINGS = NO_AWS | {
    "STOCK_PIPELINE_STAGING_BUCKET": "staging", "STOCK_PIPELINE_LAKE_BUCKET": "lake",
    "STOCK_PIPELINE_STREAM_NAME": "stream",
}  # fmt: skip


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    shutil.rmtree(bench.work / "functions", ignore_errors=True)  # the code may have changed
    ways = []
    for name in NAMES:
        code, packages = _unpacked(bench, name)
        env = as_deployed(name) | _SETTINGS | {"PYTHONPATH": f"{code}:{packages}"}
        ways.append(Way(f"{name}: imports", [FUNCTIONS, "-c", UNAVOIDABLE[name]], env))
        ways.append(Way(name, [FUNCTIONS, "-c", "import handler"], env))
        for way in ways[-2:]:  # compiled once, as in a package that has been started before
            run(way.command, way.env)
    runs = interleaved(ways, 2 * bench.rounds)
    how = (
        "A fresh interpreter imports the handler, which makes its clients, against one that imports what the function "
        "cannot avoid (boto3 with its client, Arrow, the logger) and nothing else. On the functions' own packages; "
        "boto3 is beside them, as in the Lambda runtime. Size: what requirements.txt installs with our code, unzipped "
        "and without bytecode."
    )
    columns = ["function", "CPU ÷ bare imports", "wall ÷ bare imports", "CPU ms", "peak MB", "package, MiB"]
    table = Table("Functions: cold start and size", how, columns)
    for name in NAMES:
        mine, bare = runs[name], runs[f"{name}: imports"]
        cpu, wall = ratios(mine, bare, lambda r: r.cpu), ratios(mine, bare, lambda r: r.wall)
        milliseconds = Spread.of([1000 * r.cpu for r in mine])
        size = sum(_size(folder) for folder in _unpacked(bench, name))
        table.rows.append([
            name, cpu.shown(), wall.shown(), milliseconds.shown(0), f"{max(r.peak_mb for r in mine):,.0f}",
            f"{size / 2**20:,.0f}",
        ])  # fmt: skip
        table.figures[name] = {"cpu_ratio": cpu.median, "wall_ratio": wall.median, "package_mib": size / 2**20}
    return [table]


def _unpacked(bench: Bench, name: str) -> tuple[Path, Path]:
    """The folder of a function's own code, as packaged, and that of its installed requirements."""
    folder = bench.work / "functions" / name
    if not folder.exists():
        folder.mkdir(parents=True)
        make = "import sys; from stock_pipeline.deploy import packages as p; "
        make += "sys.stdout.buffer.write(p.function_zip(sys.argv[1]))"
        data = subprocess.run([OWN, "-c", make, name], stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout
        zipfile.ZipFile(BytesIO(data)).extractall(folder)
    return folder, packages_of(name)


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.suffix != ".pyc" and not f.is_symlink())
