"""`stock-pipeline watch`: the snapshot as people and as pipes read it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.main import watch
from stock_pipeline.cli.watch import Board, Quote, age
from stock_pipeline.errors import StoreUnavailable
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.dev import COMMAND
from stock_pipeline_tests.support.local_aws import Stack

NOW = datetime.now(UTC).replace(microsecond=0)
LINE = '{{"event_id":"{symbol}-{price}","symbol":"{symbol}","price":{price},"produced_at":"{at:%Y-%m-%d %H:%M:%S}"}}\n'


def arrive(staging: S3Store, lake: S3Store, seconds: int = 0, **prices: float) -> None:
    """Ticks into the tables, so many seconds after the first ones."""
    at = NOW - timedelta(minutes=5) + timedelta(seconds=seconds)
    lines = "".join(LINE.format(symbol=symbol, price=price, at=at) for symbol, price in prices.items())
    key = f"stock_stream/{seconds}"
    staging.put(key, lines.encode())
    ingest_ticks([key], staging=staging, lake=lake)


def quotes(number: int = 0, **prices: float) -> dict[str, Quote]:
    return {symbol: Quote(price, NOW, f"{symbol}{number}") for symbol, price in prices.items()}


def screen(board: Board, rows: int = 20, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(board.screen(NOW + timedelta(seconds=3), rows))
    return [line.rstrip() for line in console.export_text().splitlines()]


class TestOnce:
    def test_each_symbol_is_printed_with_its_price_time_and_age(
        self, run: Run, staging: S3Store, lake: S3Store
    ) -> None:
        arrive(staging, lake, AAPL=190.5, MSFT=1234567)
        done = run("watch", "--once")
        assert done.exit_code == 0, done.stderr
        header, aapl, msft = (line.split() for line in done.stdout.splitlines())
        assert header == ["symbol", "price", "last", "tick", "(UTC)", "age"]
        assert aapl[:2] == ["AAPL", "190.50"]
        assert aapl[2:4] == [f"{NOW - timedelta(minutes=5):%Y-%m-%d}", f"{NOW - timedelta(minutes=5):%H:%M:%S}.000"]
        assert int(aapl[4]) >= 5
        assert aapl[5] == "min"
        assert msft[:2] == ["MSFT", "1,234,567.00"]

    def test_symbols_are_chosen_in_the_order_given_and_missing_ones_named(
        self, run: Run, staging: S3Store, lake: S3Store
    ) -> None:
        arrive(staging, lake, AAPL=1, MSFT=2, ORCL=3)
        done = run("watch", "--once", "--symbols", "orcl, AAPL,NOPE")
        assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["ORCL", "AAPL"]
        assert "no price yet: NOPE" in done.stderr

    def test_where_there_is_nothing_it_says_how_to_get_some(self, run: Run, aws: None) -> None:
        done = run("watch", "--once")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "stock-pipeline stream" in done.stderr

    def test_no_symbol_is_wrong_usage(self, run: Run, aws: None) -> None:
        assert run("watch", "--once", "--symbols", ",").exit_code == 2


class TestWithoutATerminal:
    def test_a_line_for_each_new_tick_until_ctrl_c_which_is_status_0(
        self, run: Run, staging: S3Store, lake: S3Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arrive(staging, lake, AAPL=100, MSFT=50)
        looks = iter([{"AAPL": 101.0}, {}, {"AAPL": 99.99}])
        seconds_later = itertools.count(1)

        def sleep(seconds: float) -> None:
            assert seconds == 2
            try:
                prices = next(looks)
            except StopIteration:
                raise KeyboardInterrupt from None
            if prices:
                arrive(staging, lake, seconds=next(seconds_later), **prices)

        monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=sleep))
        done = run("watch", "--interval", "2")
        assert done.exit_code == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()]
        assert [(row[0], row[1]) for row in rows] == [
            ("AAPL", "100.00"),
            ("MSFT", "50.00"),
            ("AAPL", "101.00"),
            ("AAPL", "99.99"),
        ]
        assert rows[2][2:5] == ["▲", "1.00", "+1.00%"]
        assert rows[3][2:5] == ["▼", "1.01", "-0.01%"]

    def test_a_store_that_does_not_answer_is_told_and_tried_again(
        self, run: Run, staging: S3Store, lake: S3Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arrive(staging, lake, AAPL=100)
        latest, looks = watch.latest, []

        def unsteady(store: Any) -> dict[str, Quote]:
            looks.append(store)
            if len(looks) == 1:
                raise StoreUnavailable("latest", "S3 answered 503")
            return latest(store)

        def sleep(_: float) -> None:
            if len(looks) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(watch, "latest", unsteady)
        monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=sleep))
        done = run("watch")
        assert done.exit_code == 0
        assert "503" in done.stderr
        assert "AAPL" in done.stdout


class TestScreen:
    def test_it_is_legible_at_80_columns(self) -> None:
        board = Board()
        for n in range(20):
            board.take(quotes(n, AAPL=190.0 + n, GOOGL=37.53, BRK_A=612_345.5 + 1000 * (n % 3)))
        lines = screen(board)
        assert lines[0].split() == ["symbol", "price", "change", "since", "start", "trend", "last", "tick", "age"]
        assert all(len(line) <= 80 for line in lines)
        aapl = next(line for line in lines if line.startswith("AAPL"))
        assert aapl.split() == ["AAPL", "209.00", "▲", "1.00", "+10.00%", "▁▂▂▃▃▄▄▅▅▆▆▇▇█", f"{NOW:%H:%M:%S}", "3", "s"]
        assert "612,345.50" in "\n".join(lines) or "613,345.50" in "\n".join(lines)
        assert "…" not in "\n".join(lines)

    def test_change_is_since_the_look_before_and_the_trend_of_the_ticks_seen(self) -> None:
        board = Board()
        assert board.take(quotes(1, AAPL=10)) == ["AAPL"]
        assert board.take(quotes(2, AAPL=12)) == ["AAPL"]
        assert (board.change("AAPL"), board.since_start("AAPL")) == (2, pytest.approx(0.2))
        assert board.take(quotes(2, AAPL=12)) == []
        assert board.change("AAPL") == 0
        assert board.trend("AAPL") == "▁█"
        assert board.take(quotes(3, AAPL=12)) == ["AAPL"], "a tick at the same price is a tick"
        assert board.trend("AAPL") == "▁██"

    def test_a_price_that_never_moved_is_a_flat_line(self) -> None:
        board = Board()
        board.take(quotes(1, AAPL=10))
        assert set(board.trend("AAPL")) == {"▄"}

    def test_what_does_not_fit_is_counted(self) -> None:
        board = Board()
        board.take(quotes(**{f"S{n:03}": float(n + 1) for n in range(100)}))
        lines = screen(board, rows=10)
        assert "90 more symbols" in "\n".join(lines)
        assert sum(line.startswith("S0") for line in lines) == 10

    def test_nothing_and_missing_symbols_are_said(self) -> None:
        assert "stock-pipeline stream" in "\n".join(screen(Board()))
        assert "no price yet: AAPL, MSFT" in "\n".join(screen(Board(("AAPL", "MSFT"))))

    @pytest.mark.parametrize(
        ("price", "text"), [(0.5, "0.50"), (0.00001234, "0.00001234"), (1, "1.00"), (12345.678, "12,345.68")]
    )
    def test_a_price_has_cents_or_as_many_decimals_as_it_needs(self, price: float, text: str) -> None:
        board = Board()
        board.take(quotes(A=price))
        assert screen(board)[1].split()[1] == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_an_age_is_told_to_one_unit(seconds: float, text: str) -> None:
    assert age(timedelta(seconds=seconds)) == text


@pytest.mark.e2e
def test_on_a_terminal_it_is_redrawn_until_ctrl_c(stack: Stack) -> None:
    arrive(stack.staging, stack.lake, AAPL=190.5)
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    command = [str(COMMAND), "watch", "--interval", "0.1"]
    running = subprocess.Popen(command, stdout=terminal, stderr=terminal, env={**environ, "TERM": "xterm-256color"})
    os.close(terminal)
    shown = ""

    def shows(text: str) -> bool:
        nonlocal shown
        with contextlib.suppress(OSError):  # the command has ended and all it said is read
            while text not in shown and select.select([controller], [], [], 20)[0]:
                shown += os.read(controller, 10_000).decode()
        return text in shown

    assert shows("190.50"), shown
    arrive(stack.staging, stack.lake, seconds=1, AAPL=191.5)
    assert shows("191.50"), shown
    running.send_signal(signal.SIGINT)
    status = running.wait(20)
    if status:  # what it said at its end is why
        shows("\0")
    assert status == 0, shown[-2000:]
    os.close(controller)
