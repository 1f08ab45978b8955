"""Packing ticks into records and sending them: nothing lost, only what failed sent again, giving up said by count."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from stock_pipeline.aws.kinesis import (
    MOST_RECORD_BYTES,
    Sent,
    check_sent,
)
from stock_pipeline.errors import FileRefused, NotSent, SimulationError
from stock_pipeline.producer.live import produce_live, replay
from stock_pipeline.producer.recordings import recorded_lines
from stock_pipeline.simulate.faults import Faults
from stock_pipeline_tests.support.kinesis import Kinesis, error, line

# --- live ticks and recordings -------------------------------------------------------------------------------------

START = datetime(2024, 6, 3, 14, 0, tzinfo=UTC)


class Clock(Event):
    """A clock and the event that ends the producer in one: time passes only while it is waited for."""

    def __init__(self, ends: float | None = None, interrupted: float | None = None) -> None:
        super().__init__()
        self.passed, self.ends, self.interrupted = 0.0, ends, interrupted

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.passed += timeout
        if self.interrupted is not None and self.passed >= self.interrupted:
            raise KeyboardInterrupt
        if self.ends is not None and self.passed >= self.ends:
            self.set()
        return self.is_set()


def live(kinesis: Kinesis, clock: Clock, **options: Any) -> Sent:
    wanted: dict[str, Any] = {"seed": 7, "rate": 100, "stop": clock, "now": clock.now} | options
    return produce_live(kinesis, "ticks", ["AAPL", "MSFT"], **wanted)  # type: ignore[arg-type]


def stored_lines(kinesis: Kinesis) -> list[bytes]:
    return [line + b"\n" for data in kinesis.stored for line in data.splitlines()]


def ids(kinesis: Kinesis) -> list[str]:
    return [json.loads(line)["event_id"] for line in stored_lines(kinesis)]


def test_live_ticks_are_sent_once_they_have_happened_and_not_before() -> None:
    kinesis, clock, seen = Kinesis(), Clock(), []

    def progress(sent: Sent) -> None:
        times = [json.loads(line)["produced_at"] for line in stored_lines(kinesis)]
        assert max(times) <= clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
        seen.append((clock.passed, sent.lines))

    sent = live(kinesis, clock, seconds=1, on_progress=progress)
    assert (sent.lines, sent.failed, len(set(ids(kinesis)))) == (100, 0, 100)
    assert seen[:4] == [(0.25, 25), (0.5, 50), (0.75, 75), (1.0, 100)]


def test_a_seed_and_a_start_decide_on_the_ticks() -> None:
    first, second, other = Kinesis(), Kinesis(), Kinesis()
    for kinesis, seed in ((first, 7), (second, 7), (other, 8)):
        live(kinesis, Clock(), seconds=1, seed=seed)
    assert first.stored == second.stored != other.stored


@pytest.mark.parametrize("how", ["ends", "interrupted"])
def test_ending_it_sends_what_was_held_back(how: str) -> None:
    kinesis = Kinesis()
    sent = live(kinesis, Clock(**{how: 2.0}), faults=Faults(late=0.5, duplicates=0.2))
    produced = sorted(set(ids(kinesis)))
    assert sent.lines == len(ids(kinesis)) > len(produced) == 175  # seven quarters of a second
    assert [int(name.split("-")[-1]) for name in produced] == list(range(175))


def test_what_was_in_flight_when_interrupted_is_sent_again() -> None:
    class Interrupted(Kinesis):
        def put_records(self, **request: Any) -> dict[str, Any]:
            answer = super().put_records(**request)
            if len(self.calls) == 2:
                raise KeyboardInterrupt  # taken by the stream, but nobody knows
            return answer

    kinesis = Interrupted()
    sent = live(kinesis, Clock())
    assert len(kinesis.calls) == 3
    assert kinesis.calls[1] == kinesis.calls[2]
    assert (sent.lines, len(set(ids(kinesis)))) == (50, 50)


def test_a_stream_that_takes_nothing_ends_it_and_every_line_is_counted() -> None:
    kinesis = Kinesis(*[error("ResourceNotFoundException")] * 100)
    sent = live(kinesis, Clock(), faults=Faults(late=1.0))
    assert sent.gave_up
    assert (sent.lines, len(kinesis.calls)) == (0, 1)
    assert sent.failed >= 25
    with pytest.raises(NotSent, match=rf"{sent.failed} of {sent.failed} lines .*ResourceNotFoundException"):
        check_sent(sent)
    check_sent(Sent(lines=5))


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": float("nan")}, {"rate": -1}, {"rate": float("nan")}])
def test_what_cannot_be_produced_is_said_before_anything_is_sent(wrong: dict[str, float]) -> None:
    kinesis = Kinesis()
    with pytest.raises(SimulationError):
        live(kinesis, Clock(), **wrong)
    assert kinesis.calls == []


def recorded(kinesis: Kinesis, source: Any, **options: Any) -> Sent:
    return replay(kinesis, "ticks", source, **options)  # type: ignore[arg-type]


LINES_OF_A_FILE = [line("A", n) for n in range(5)] + [b'{"T":"t","S":"B"}\r\n', b"not json\n", b"\n", b"\xff\n"]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("ended", [True, False])
def test_the_lines_of_a_file_are_sent_verbatim(packed: bool, ended: bool, tmp_path: Path) -> None:
    content = b"".join(LINES_OF_A_FILE) + (b"" if ended else b"the last")
    path = tmp_path / "ticks.jsonl"
    path.write_bytes(gzip.compress(content) if packed else content)
    kinesis = Kinesis()
    sent = recorded(kinesis, path)
    expected = LINES_OF_A_FILE + ([] if ended else [b"the last\n"])
    assert sorted(b"".join(kinesis.stored).splitlines(keepends=True)) == sorted(expected)
    assert (sent.lines, sent.failed) == (len(expected), 0)


def test_lines_without_a_file_are_sent_in_calls_of_bounded_size() -> None:
    kinesis, seen = Kinesis(), []
    sent = recorded(kinesis, (line("A", n, 900) for n in range(12_000)), on_progress=lambda s: seen.append(s.lines))
    assert sent.lines == 12_000
    assert len(seen) >= 3


def test_a_recording_is_sent_at_a_rate() -> None:
    kinesis, clock, seen = Kinesis(), Clock(), []
    sent = recorded(kinesis, LINES_OF_A_FILE[:5], rate=4, stop=clock, now=clock.now,
                    on_progress=lambda s: seen.append((clock.passed, s.lines)))  # fmt: skip
    assert sent.lines == 5
    assert seen[:5] == [(0.0, 1), (0.25, 2), (0.5, 3), (0.75, 4), (1.0, 5)]
    slow, clock = Kinesis(), Clock()
    recorded(slow, LINES_OF_A_FILE[:3], rate=0.5, stop=clock, now=clock.now)
    assert len(slow.stored) == 3
    assert clock.passed == 5.75  # the third line falls into the turn that ends at six seconds


def test_a_line_that_no_record_holds_costs_no_memory_and_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_bytes(
        line("A", 1) + b"x" * (3 * MOST_RECORD_BYTES) + b"\n" + line("A", 2) + b"y" * (2 * MOST_RECORD_BYTES)
    )
    assert max(map(len, recorded_lines(path, 100))) == 101
    kinesis = Kinesis()
    sent = recorded(kinesis, path)
    assert (sent.lines, sent.failed, sent.gave_up) == (2, 2, False)
    assert b"".join(kinesis.stored) == line("A", 1) + line("A", 2)


@pytest.mark.parametrize("cut", [20, -4])
def test_a_damaged_file_is_an_error_that_names_it(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "ticks.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(LINES_OF_A_FILE) * 50)[:cut])
    with pytest.raises(FileRefused, match=r"ticks\.jsonl\.gz is a damaged gzip file"):
        recorded(Kinesis(), path)
    path.write_bytes(gzip.compress(b"a\n")[:-8] + b"12345678")
    with pytest.raises(FileRefused, match="damaged"):
        recorded(Kinesis(), path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"cannot read .*absent\.jsonl \(No such file or directory\)"):
        recorded(Kinesis(), tmp_path / "absent.jsonl")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_is_an_error(rate: float) -> None:
    with pytest.raises(SimulationError, match="not possible"):
        recorded(Kinesis(), LINES_OF_A_FILE, rate=rate)
