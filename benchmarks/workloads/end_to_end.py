"""Ticks through the whole local AWS: how long they take, what they cost, how often stored rows are written again."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Failed, run
from benchmarks.places import OWN, ROOT, Bench
from benchmarks.report import Table

CASES = ((1000, 0.0), (1000, 0.2), (10_000, 0.0), (10_000, 0.2))


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    seconds = bench.pick(5, 40)
    how = (
        f"{seconds} s of ticks of 500 symbols through Kinesis, Firehose (2 s), S3, SQS, the function and Parquet in "
        "the local AWS, once each. Lag is from sending to a row that can be read. Written ÷ stored: bytes of all "
        "versions of the history and snapshot objects over the bytes of history at the end. CPU is that of the "
        "emulator and the functions."
    )
    tables = [_measured("End to end on the local AWS", how, CASES, seconds, gather=2)]
    if bench.size == "full":
        how = (
            "The same for the five minutes of a history object from its first second on, with Firehose as the template "
            "has it: it gathers for 60 s, or 64 MiB."
        )
        tables.append(
            _measured("End to end, as deployed", how, [case for case in CASES if not case[1]], 300, gather=60)
        )
    return tables


def _measured(title: str, how: str, cases: Sequence[tuple[int, float]], seconds: int, gather: int) -> Table:
    columns = [
        "ticks a second",
        "late by up to a day",
        "lag p50, s",
        "p99, s",
        "CPU µs a tick",
        "written ÷ stored",
        "objects written",
    ]
    table = Table(title, how, columns)
    for rate, late in cases:
        name = f"{rate:,} a second, {late:.0%} late"
        command = [OWN, "-m", "benchmarks.ways.end_to_end", str(rate), str(seconds), str(late), str(gather)]
        try:
            said = run(command, {"PYTHONPATH": str(ROOT)}).said
        except Failed as error:  # the emulator may not keep up on this machine, which is a result, too
            table.rows.append([f"{rate:,}", f"{late:.0%}", str(error).strip().rsplit("\n", 1)[-1], "", "", "", ""])
            continue
        table.rows.append([
            f"{rate:,}", f"{late:.0%}", f"{said['p50']:.1f}", f"{said['p99']:.1f}", f"{said['cpu_us_per_tick']:.0f}",
            f"{said['written_per_stored']:.1f}", f"{said['versions']:,}",
        ])  # fmt: skip
        table.figures[name] = said
    return table
