"""Ticks into the Kinesis stream as they fall due: a simulated market, or a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import ceil
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from stock_pipeline.aws.kinesis import CALL_BYTES, DEADLINE, MOST_RECORD_BYTES, Sent, pack, send
from stock_pipeline.errors import SimulationError
from stock_pipeline.producer.recordings import at_rate, in_chunks, recorded_lines
from stock_pipeline.simulate.faults import FaultInjector, Faults
from stock_pipeline.simulate.rng import stream as random_stream
from stock_pipeline.simulate.ticks import live_ticks, to_json_lines

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


_TURN_SECONDS = 0.25  # how often live ticks, and a recording at a rate, are sent
_TURN = timedelta(seconds=_TURN_SECONDS)
OnSent = Callable[[Sent], None]


def produce_live(
    client: KinesisClient,
    stream: str,
    symbols: Sequence[str],
    *,
    seed: int,
    rate: float,
    seconds: float | None = None,
    faults: Faults | None = None,
    on_progress: OnSent | None = None,
    stop: Event | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    deadline: float = DEADLINE,
) -> Sent:
    """Send simulated ticks as they fall due: `rate` a second over all symbols, for `seconds` or without end.

    `stop` or Ctrl-C ends it early; the lines that `faults` hold back are sent first. It also ends when the stream takes
    no line for `deadline` seconds; `failed` counts the lines that were not taken. `on_progress` gets the counts so far,
    four times a second. `now` and `stop.wait` are the only clock.

    Raises SimulationError for impossible seconds, rates or symbols, before anything is sent.
    """
    if seconds is not None and not 0 < seconds < float("inf"):
        raise SimulationError(f"{seconds} seconds of ticks are not possible; take a positive number, or none at all")
    start = now()
    turns = islice(
        live_ticks(symbols, seed, rate, start, batch=_TURN), None if seconds is None else ceil(seconds / _TURN_SECONDS)
    )
    # The ticks of a turn have all happened once the next one begins.
    due = ((start + n * _TURN, to_json_lines(ticks)) for n, ticks in enumerate(turns, 1))
    return _feed(client, stream, due, faults, seed, on_progress, stop, now, deadline)


def replay(
    client: KinesisClient,
    stream: str,
    source: Path | Iterable[bytes],
    *,
    rate: float | None = None,
    faults: Faults | None = None,
    seed: int = 0,
    on_progress: OnSent | None = None,
    stop: Event | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    deadline: float = DEADLINE,
) -> Sent:
    """Send recorded lines unchanged, as fast as possible or at `rate` lines a second.

    `source` is a file of JSON lines, gzip or plain, or the lines themselves; a last line that lacks its newline gets
    one. A line that is too long for a Kinesis record is counted as failed. `seed` is that of the faults. The other
    arguments are those of `produce_live`. Raises FileRefused for a file that cannot be read, SimulationError for a rate
    that is not positive.
    """
    if rate is not None and not 0 < rate < float("inf"):
        raise SimulationError(f"a rate of {rate} lines a second is not possible; take a positive number")
    lines = iter(recorded_lines(source, MOST_RECORD_BYTES) if isinstance(source, Path) else source)
    start = now()
    if rate is None:
        due = ((start, chunk) for chunk in in_chunks(lines, CALL_BYTES))
    else:
        due = ((start + n * _TURN, chunk) for n, chunk in enumerate(at_rate(lines, rate * _TURN_SECONDS)))
    return _feed(client, stream, due, faults, seed, on_progress, stop, now, deadline)


def _feed(
    client: KinesisClient,
    stream: str,
    due: Iterable[tuple[datetime, list[bytes]]],
    faults: Faults | None,
    seed: int,
    on_progress: OnSent | None,
    stop: Event | None,
    now: Callable[[], datetime],
    deadline: float,
) -> Sent:
    """Send lines, each group when its time has come, until there are no more or somebody stops it."""
    injector = FaultInjector(faults or Faults(), random_stream(seed, "faults"))
    stop, total, in_flight = stop or Event(), Sent(), list[bytes]()
    progress = on_progress or (lambda _: None)
    try:
        for at, lines in due:
            early = (at - now()).total_seconds()
            if stop.wait(early) if early > 0 else stop.is_set():
                break
            in_flight = injector.inject(lines) if faults else lines
            total.add(send(client, stream, pack(in_flight), deadline=deadline))
            in_flight = []
            progress(total)
            if total.gave_up:
                break
    except KeyboardInterrupt:
        pass  # lines in flight may have been taken or not; sent again they are at worst duplicates
    rest = in_flight + injector.flush()
    if total.gave_up:
        total.failed += len(rest)
    elif rest:
        total.add(send(client, stream, pack(rest), deadline=deadline))
    progress(total)
    return total
