"""Streaming: ticks in one object or a thousand, clean or not, with keys in any order, beside peers and the floor."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Way, interleaved
from benchmarks.places import FUNCTIONS, PEERS, ROOT, Bench, as_deployed
from benchmarks.report import Table, comparison
from benchmarks.workloads.daily import check_equal

STREAM = as_deployed("process_stock_stream_data")
PYTHONPATH = {"PYTHONPATH": str(ROOT)}
PEER_WAYS = {"polars": "Polars", "duckdb": "DuckDB", "orjson": "orjson by line", "pandas": "json.loads, pandas"}
FLOOR = "floor"


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    number = bench.pick(50_000, 1_000_000)
    objects = bench.pick(100, 1000)
    made = bench.made("ticks", "ticks", number, objects)
    return [_against_peers(bench, made, number), _forms(bench, made, number, objects)]


def _against_peers(bench: Bench, made: Path, number: int) -> Table:
    source = made / "malformed.ndjson"
    ways = [_floor(bench, FLOOR, made / "clean.ndjson"), _ours(bench, "this pipeline", made, "malformed.ndjson")]
    for peer, name in PEER_WAYS.items():
        command = [str(PEERS), "-m", "benchmarks.ways.tick_peers", peer, str(source), str(bench.scratch(name))]
        ways.append(Way(name, command, PYTHONPATH, bench.fresh(name)))
    runs = interleaved(ways, bench.rounds)
    check_equal(bench, ["this pipeline", *PEER_WAYS.values()], "ticks", PYTHONPATH)
    how = (
        f"{number:,} ticks as they arrive at 5,000 a second ({source.stat().st_size / 1e6:.0f} MB of NDJSON in one "
        "object, 1 % of the lines broken or with a price below zero). Floor: pyarrow.json with the schema given on "
        "clean input, then the write, unsorted. All but the floor left the same history, snapshot and number of "
        "rejected lines."
    )
    return comparison(f"Ticks: {number:,} in one object, 1 % malformed", how, runs, FLOOR, per=number, unit="ticks")


def _forms(bench: Bench, made: Path, number: int, objects: int) -> Table:
    forms = {
        "clean": ("clean.ndjson", "clean"),
        "1 % malformed": ("malformed.ndjson", "malformed"),
        "1 % malformed, gzip": ("malformed.ndjson.gz", "malformed"),
        f"clean, {objects:,} objects together": ("many-clean/", "clean"),
        f"1 % malformed, {objects:,} objects together": ("many/", "malformed"),
        "keys in another order": ("reordered.ndjson", "clean"),
        "keys in a random order in each line": ("shuffled.ndjson", "clean"),
        "a whole day in one object, so 79 history objects": ("day.ndjson", "day"),
    }
    recorded = f"{FLOOR}, and a record for each of {objects:,} objects"
    ways = [_floor(bench, FLOOR, made / "clean.ndjson"), _floor(bench, recorded, made / "many-clean", "recorded")]
    ways += [_ours(bench, name, made, key) for name, (key, _) in forms.items()]
    runs = interleaved(ways, bench.rounds)
    for result in ("clean", "malformed"):
        check_equal(bench, [name for name, (_, same) in forms.items() if same == result], "ticks", PYTHONPATH)
    how = (
        "This pipeline on the same ticks in other forms; the same floor as above, on one clean object. With records: "
        f"the floor on {objects:,} clean objects, which then writes for each of them an object with ten rejected rows, "
        "as the pipeline must (one a source, replaced whole)."
    )
    return comparison(f"Ticks: {number:,} in other forms", how, runs, FLOOR, per=number, unit="ticks")


def _floor(bench: Bench, name: str, source: Path, what: str = "ticks") -> Way:
    command = [FUNCTIONS, "-m", "benchmarks.ways.floor", what, str(source), str(bench.scratch(name))]
    return Way(name, command, STREAM, bench.fresh(name))


def _ours(bench: Bench, name: str, staging: Path, key: str) -> Way:
    command = [FUNCTIONS, "-m", "benchmarks.ways.ours", "ticks", str(staging), str(bench.scratch(name)), key]
    return Way(name, command, STREAM, bench.fresh(name))
