"""Batch: daily prices into a year, beside the peers and the floor; a day into a large year; what history costs."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.inputs import YEAR
from benchmarks.measure import Failed, Run, Way, interleaved, run
from benchmarks.places import FUNCTIONS, NO_AWS, PEERS, ROOT, Bench, as_deployed
from benchmarks.report import Table, comparison
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.schemas import PRICE_BY_DATE

BATCH = as_deployed("process_batch_stock_data")
PYTHONPATH = {"PYTHONPATH": str(ROOT)}
SLOW = 2
"""The rounds of a way that takes many times as long as the others."""

FLOOR, OURS = "floor", "this pipeline"
LABELS = {
    "polars": "Polars, anti-join", "duckdb": "DuckDB", "pandas": "pandas, touched year", "deltalake": "deltalake merge",
    "pyiceberg": "pyiceberg, append after scan", "upsert": "pyiceberg upsert", "seed": "pandas, whole table (the seed)",
    "awswrangler": "awswrangler on an emulated S3",
}  # fmt: skip


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    rows = bench.pick(100_000, 1_000_000)
    made = bench.made("daily", "daily", rows, 0)
    tables = []
    if bench.size == "small":  # awswrangler, the upsert, the second year and the seed's history take too long
        peers = [peer for peer in LABELS if peer not in ("upsert", "awswrangler")]
        return [
            _into_year(bench, made, "lake", rows, "an empty year", peers, {}),
            _with_history(bench, rows),
            _small_into_large(bench),
        ]
    with _emulated_s3() as s3:
        for title, lake, peers in (
            ("an empty year", "lake", [*LABELS]),
            ("a year that holds 30 % of them", "lake-stored", ["polars", "duckdb", "pandas", "deltalake", "pyiceberg"]),
        ):
            chosen = [peer for peer in peers if peer != "upsert" and (peer != "awswrangler" or s3)]
            tables.append(_into_year(bench, made, lake, rows, title, chosen, s3))
    return [*tables, _with_history(bench, rows), _small_into_large(bench)]


def _into_year(
    bench: Bench, made: Path, lake: str, rows: int, title: str, peers: Sequence[str], s3: dict[str, str]
) -> Table:
    raw = made / "raw.csv"
    ways = [_floor(bench, made / "clean.csv"), _ours(bench, OURS, made, "raw.csv", made / lake)]
    ways += [_peer(bench, peer, raw, made / lake, s3) for peer in peers]
    runs = interleaved(ways, bench.rounds)
    _check_equal(bench, [OURS, *(LABELS[peer] for peer in peers)], s3)
    how = (
        f"{rows:,} raw rows ({raw.stat().st_size / 1e6:.0f} MB of CSV; 1 % bad, 0.5 % repeated) into {title}. Floor: "
        "pyarrow.csv with given types on clean input, then the write, unsorted. All but the floor left the same rows "
        "and rejected the same number. awswrangler's CPU is without its S3's."
    )
    return comparison(f"Batch: {rows:,} rows into {title}", how, runs, FLOOR, per=rows, unit="rows")


def _with_history(bench: Bench, rows: int) -> Table:
    years = (0, 5, 20) if bench.size == "full" else (0, 2)
    history = {n: bench.made("history-of", "daily", rows, n) for n in years}
    ours = {n: f"{OURS}, {n} other years" for n in years}
    ways = [_ours(bench, ours[n], history[n], "raw.csv", history[n] / "lake-history") for n in years]
    seeds = years if bench.size == "full" else ()
    for n in seeds:
        way = _peer(
            bench, "seed", history[n] / "raw.csv", history[n] / "lake-history", {}, f"the seed, {n} other years"
        )
        ways.append(Way(way.name, way.command, way.env, way.prepare, rounds=1))
    runs = interleaved(ways, bench.rounds)
    _check_equal(bench, [*ours.values(), *(f"the seed, {n} other years" for n in seeds)], {})
    how = f"{rows:,} raw rows into an empty year, beside N other years of {rows:,} rows each."
    return comparison("Batch: what history costs", how, runs, ours[0], per=rows, unit="rows")


def _small_into_large(bench: Bench) -> Table:
    symbols = bench.pick(500, 5000)
    made = bench.made("large", "large_year", symbols, symbols)
    year = made / "lake" / partition_key(PRICE_BY_DATE, year_partition(YEAR))
    base = "read + write of the year object"
    ways = [
        Way(base, [FUNCTIONS, "-m", "benchmarks.ways.floor", "rewrite", str(year), str(bench.scratch("rewrite"))],
            BATCH, bench.fresh("rewrite")),
        _ours(bench, OURS, made, "raw.csv", made / "lake"),
    ]  # fmt: skip
    peers = ["polars", "duckdb", "pandas", "deltalake"]
    ways += [_peer(bench, peer, made / "raw.csv", made / "lake", {}) for peer in peers]
    if bench.size == "full":
        upsert = _peer(bench, "upsert", made / "raw.csv", made / "lake", {})
        ways.append(Way(upsert.name, upsert.command, upsert.env, upsert.prepare, rounds=1))
        peers.append("upsert")
    runs = interleaved(ways, bench.rounds)
    _check_equal(bench, [OURS, *(LABELS[peer] for peer in peers)], {})
    size = f"{symbols * 251:,} rows ({year.stat().st_size / 1e6:.1f} MB)"
    how = f"One session of {symbols:,} symbols into their year of {size}."
    return comparison("Batch: small into large", how, runs, base)


def _floor(bench: Bench, source: Path) -> Way:
    command = [FUNCTIONS, "-m", "benchmarks.ways.floor", "daily", str(source), str(bench.scratch(FLOOR))]
    return Way(FLOOR, command, BATCH, bench.fresh(FLOOR))


def _ours(bench: Bench, name: str, staging: Path, key: str, lake: Path) -> Way:
    command = [FUNCTIONS, "-m", "benchmarks.ways.ours", "daily", str(staging), str(bench.scratch(name)), key]
    return Way(name, command, BATCH, bench.fresh(name, lake))


def _peer(bench: Bench, peer: str, raw: Path, lake: Path, s3: dict[str, str], name: str | None = None) -> Way:
    name = name or LABELS[peer]
    command = [str(PEERS), "-m", "benchmarks.ways.daily_peers", peer, str(raw), str(bench.scratch(name))]
    env = PYTHONPATH | (s3 if peer == "awswrangler" else {})
    fresh = bench.fresh(name, lake)

    def prepare() -> None:
        fresh()
        if peer in ("deltalake", "pyiceberg", "upsert", "awswrangler"):
            run([str(PEERS), "-m", "benchmarks.ways.setup", peer, str(bench.scratch(name))], env)
        if peer == "awswrangler":
            (bench.scratch(name) / "bucket").write_text(f"s3://{s3['BENCH_BUCKET']}/")

    return Way(name, command, env, prepare, rounds=SLOW if peer in ("seed", "awswrangler", "pyiceberg") else None)


def _check_equal(bench: Bench, names: Sequence[str], s3: dict[str, str], kind: str = "daily") -> None:
    check_equal(bench, names, kind, PYTHONPATH | s3)


def check_equal(bench: Bench, names: Sequence[str], kind: str, env: dict[str, str]) -> None:
    """Raises Failed unless these ways left the same rows, each in its scratch folder."""

    def said(name: str) -> str:
        command = [str(PEERS), "-m", "benchmarks.results", kind, str(bench.scratch(name))]
        return json.dumps(run(command, env).said, sort_keys=True)

    with ThreadPoolExecutor(2) as threads:
        results = dict(zip(names, threads.map(said, names), strict=True))
    if len(set(results.values())) > 1:
        raise Failed("the ways do not agree:\n" + "\n".join(f"{name}: {said}" for name, said in results.items()))


@contextlib.contextmanager
def _emulated_s3() -> Iterator[dict[str, str]]:
    """moto's S3 server with one bucket, as environment variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [str(PEERS.with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    env = NO_AWS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "BENCH_BUCKET": "bench"}
    try:
        make = "import boto3; boto3.client('s3').create_bucket(Bucket='bench')"
        _tried(lambda: run([str(PEERS), "-c", make], env))
        yield env
    finally:
        server.terminate()
        server.wait()


def _tried(call: Callable[[], Run]) -> None:
    for attempt in range(20):
        try:
            call()
            return
        except Failed:
            if attempt == 19:
                raise
            time.sleep(0.5)
