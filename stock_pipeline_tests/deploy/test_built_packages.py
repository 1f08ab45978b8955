"""The packages as built: what is in them, for which processor, how large, and that each starts with nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.deploy.dependencies import LAMBDA_PYTHON
from stock_pipeline.deploy.packages import code_of
from stock_pipeline.deploy.sources import functions
from stock_pipeline_tests.support.packages import Packages

pytestmark = [pytest.mark.package, pytest.mark.timeout(900)]  # the first one builds

LAMBDA_LIMIT, OUR_LIMIT = 250 * 2**20, 150 * 2**20
MACHINES = {"x86_64": 62, "arm64": 183}  # in the header of an ELF file
NAMES = {name: "".join(part.title() for part in name.split("_")) for name in functions()}
SETTINGS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "STOCK_PIPELINE_STAGING_BUCKET": "staging",
    "STOCK_PIPELINE_LAKE_BUCKET": "lake",
    "STOCK_PIPELINE_STREAM_NAME": "stream",
    "STOCK_PIPELINE_LINEAGE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/lineage",
}
START = """
import sys, json, time
sys.path[:0] = sys.argv[1:]
import handler
print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules}), "cpu": time.process_time()}))
"""


def files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", [*MACHINES, "host"])
@pytest.mark.parametrize("function", functions())
def test_a_package_holds_what_the_function_imports_and_no_more(packages: Packages, function: str, target: str) -> None:
    found = files(packages(target)[NAMES[function]])
    assert sum(path.stat().st_size for path in found.values()) < OUR_LIMIT < LAMBDA_LIMIT
    assert {name for name in found if name.startswith("stock_pipeline/")} | {"handler.py"} == set(code_of(function))
    assert {name.split("/")[1] for name in found if name.startswith("stock_pipeline/")} & {
        "cli", "deploy", "dev", "local", "orchestration", "query", "definitions.py"
    } == set()  # fmt: skip
    top = {name.split("/")[0] for name in found}
    assert top & {"pyarrow", "numpy", "aws_lambda_powertools"} == {"pyarrow", "numpy", "aws_lambda_powertools"}
    assert not top & {"dagster", "pandas", "exchange_calendars", "boto3", "botocore", "duckdb", "pytest"}
    assert ("orjson" in top) == (function in ("process_stock_stream_data", "reconcile_tables"))
    unwanted = ("/tests/", "__pycache__", ".pyc", "/include/", "_flight", "libarrow_s3", ".installed")
    assert [name for name in found if ".dist-info/" not in name and any(part in name for part in unwanted)] == []


@pytest.mark.parametrize(("target", "machine"), MACHINES.items())
def test_libraries_are_for_the_processor_and_the_python_of_the_function(
    packages: Packages, target: str, machine: int
) -> None:
    tag = f"cpython-{LAMBDA_PYTHON.replace('.', '')}"
    for folder in packages(target).values():
        libraries = [path for name, path in files(folder).items() if ".so" in name]
        assert len(libraries) > 20
        assert {int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries} == {machine}
        assert {path.name for path in libraries if "cpython-" in path.name and tag not in path.name} == set()


def start(python: str, package: Path, runtime: Path) -> dict[str, Any]:
    """Import a package's handler in an interpreter that has the standard library, the package and the runtime."""
    command = [python, "-I", "-S", "-B", "-c", START, str(package), str(runtime)]
    done = subprocess.run(command, env=SETTINGS, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    started: dict[str, Any] = json.loads(done.stdout)
    return started


@pytest.mark.parametrize("function", functions())
def test_a_function_starts_with_its_package_alone(packages: Packages, runtime: Path, function: str) -> None:
    started = start(sys.executable, packages("host")[NAMES[function]], runtime)
    assert {"stock_pipeline", "pyarrow", "numpy", "boto3", "aws_lambda_powertools"} <= set(started["modules"])
    assert not set(started["modules"]) & {"pandas", "dagster", "exchange_calendars", "tests"}
    assert started["cpu"] < 5  # generous: docs/operations.md has what was measured
