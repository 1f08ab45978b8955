"""Faults in a stream of ticks."""

from __future__ import annotations

import json
import math
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import SimulationError
from stock_pipeline.simulate.faults import DELAY, FaultInjector, Faults
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines

LINES = to_json_lines(simulate_ticks(["AAPL", "MSFT"], date(2024, 5, 1), 7, 10_000))
PLACES = {line: n for n, line in enumerate(LINES)}
shares = st.floats(0, 1)


def inject_faults(lines: list[bytes], faults: Faults, rng: np.random.Generator, delay: float = DELAY) -> list[bytes]:
    """Faults in all the lines there are: nothing stays held."""
    injector = FaultInjector(faults, rng, delay)
    return injector.inject(lines) + injector.flush()


def is_tick(line: bytes) -> bool:
    """Whether a strict reader would take the line."""
    try:
        tick = json.loads(line.decode(), parse_constant=lambda name: None)
        return (
            math.isfinite(tick["price"])
            and tick["price"] > 0
            and bool(tick["symbol"])
            and bool(datetime.fromisoformat(tick["produced_at"]))
        )
    except (ValueError, TypeError, KeyError):
        return False


@given(shares, shares, shares, st.integers(0, 2**32), st.integers(0, 400), st.floats(0.1, 1000))
def test_faults_neither_lose_nor_invent_a_tick(
    duplicates: float, late: float, malformed: float, seed: int, number: int, delay: float
) -> None:
    lines = LINES[:number]
    out = inject_faults(lines, Faults(duplicates, late, malformed), np.random.default_rng(seed), delay)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in out)
    assert {line for line in out if is_tick(line)} == set(lines)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_faults_come_in_the_shares_asked_for(share: float) -> None:
    rng = np.random.default_rng(1)
    near = pytest.approx(share * len(LINES), rel=0.2)
    assert len(inject_faults(LINES, Faults(duplicates=share), rng)) - len(LINES) == near
    broken = inject_faults(LINES, Faults(malformed=share), rng)
    assert sum(not is_tick(line) for line in broken) == len(broken) - len(LINES) == near
    places = np.array([PLACES[line] for line in inject_faults(LINES, Faults(late=share), rng)])
    assert sorted(places) == list(range(len(LINES)))
    overtaken = np.maximum.accumulate(places) > places
    assert overtaken.sum() == near


def test_without_faults_the_lines_are_as_they_were() -> None:
    assert inject_faults(LINES, Faults(), np.random.default_rng(1)) == LINES


def test_with_one_kind_all_lines_can_be_struck() -> None:
    assert sorted(inject_faults(LINES[:100], Faults(duplicates=1), np.random.default_rng(1))) == sorted(LINES[:100] * 2)
    assert len(inject_faults(LINES[:100], Faults(malformed=1), np.random.default_rng(1))) == 200


def test_malformed_lines_come_in_several_kinds() -> None:
    out = inject_faults(LINES, Faults(malformed=0.05), np.random.default_rng(1))
    broken = [line for line in out if not is_tick(line)]
    kinds = (b'"price":NaN', b'"price":null', b'"price":-', b"\xff", b'"produced_at":"on', b"Traceback")
    assert all(any(kind in line for line in broken) for kind in kinds)
    assert any(not line.endswith(b"}\n") and b"Traceback" not in line for line in broken)


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(0, 2**32))
def test_a_stream_in_pieces_has_the_faults_of_the_whole(pieces: list[int], seed: int) -> None:
    injector = FaultInjector(Faults(0.3, 0.3, 0.1), np.random.default_rng(seed), delay=200)
    out: list[bytes] = []
    taken = 0
    for number in pieces:
        piece = injector.inject(LINES[taken : taken + number])
        taken += number
        assert {line for line in piece if is_tick(line)} <= set(LINES[:taken])
        out += piece
    out += injector.flush()
    assert {line for line in out if is_tick(line)} == set(LINES[:taken])
    assert injector.flush() == []


def test_late_lines_come_out_with_later_pieces() -> None:
    injector = FaultInjector(Faults(late=0.5), np.random.default_rng(1), delay=500)
    pieces = [injector.inject(LINES[n : n + 100]) for n in range(0, 5000, 100)]
    late = [line for n, piece in enumerate(pieces) for line in piece if PLACES[line] < n * 100]
    assert len(late) > 1000
    behind = np.array([n * 100 - PLACES[line] for n, piece in enumerate(pieces) for line in piece])
    assert 300 < behind[behind > 0].mean() < 700


def test_recorded_lines_of_any_kind_can_be_broken() -> None:
    lines = [b'{"S":"AAPL","p":1}\n', b"{}\n", b"x\n", b"\n"]
    out = inject_faults(lines, Faults(malformed=1), np.random.default_rng(1))
    assert out[::2] == lines
    assert all(broken != line for broken, line in zip(out[1::2], lines[:2], strict=False))


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("duplicates=0.1,late=0.1,malformed=0.01", Faults(0.1, 0.1, 0.01)),
        (" late = 1 , ", Faults(late=1)),
        ("", Faults()),
    ],
)
def test_faults_are_read_from_text(text: str, faults: Faults) -> None:
    assert Faults.parse(text) == faults


@pytest.mark.parametrize("text", ["dup=0.1", "late", "late=", "late=often", "late=0.1,late=0.2", "=1", "0.1"])
def test_text_that_names_no_fault_is_refused_with_the_kinds_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="duplicates, late, malformed"):
        Faults.parse(text)


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "inf"])
def test_a_share_is_between_nothing_and_all(share: str) -> None:
    with pytest.raises(SimulationError, match="take 0 to 1"):
        Faults.parse(f"late={share}")
