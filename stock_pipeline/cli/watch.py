"""`stock-pipeline watch`: the latest prices, live.

It reads the snapshot object with one GET per refresh, in AWS and on a laptop, so it costs no query.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from stock_pipeline.board.texts import age, price_text
from stock_pipeline.cli.console import harmless, out, say
from stock_pipeline.cli.target import aws
from stock_pipeline.errors import StoreUnavailable

if TYPE_CHECKING:
    from stock_pipeline.lake.object_store import ObjectStore

_TREND = 14  # values in the drawing of a trend
_BARS = "▁▂▃▄▅▆▇█"
_FRAME = 4  # lines of the screen that are not rows
_STALE = timedelta(minutes=1)
_NOTHING = "no prices yet; `stock-pipeline stream` sends some"


def watch(
    symbols: Annotated[str | None, typer.Option(help="Only these, separated by commas.", metavar="SYMBOLS")] = None,
    interval: Annotated[float, typer.Option(min=0.1, metavar="N", help="Seconds between two refreshes.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print the prices once and end.")] = False,
) -> None:
    """Show the latest price of each symbol, live, until Ctrl-C.

    The column "change" is the change since the last refresh, and "since start"
    the change since the command began. The trend is drawn from the prices seen.
    Times are UTC; age is how long ago the trade was. Without a terminal, the
    command prints a line for each new price.

    Examples:

        stock-pipeline watch
        stock-pipeline watch --symbols AAPL,MSFT --interval 0.5
        stock-pipeline watch --once
    """
    wanted = None if symbols is None else tuple(s.strip().upper() for s in symbols.split(",") if s.strip())
    if wanted == ():
        raise typer.BadParameter("the list is empty; write it as AAPL,MSFT", param_hint="--symbols")
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store

        lake = S3Store(settings.require("lake_bucket"))
        board = Board(wanted)
        if once:
            board.take(latest(lake))
            _print_once(board)
            return
        try:
            (_on_screen if sys.stdout.isatty() else _as_lines)(board, lambda: latest(lake), interval)
        except KeyboardInterrupt:
            return


def latest(lake: ObjectStore) -> dict[str, Quote]:
    """The snapshot as it is now; empty if there is none yet. Raises what the store raises."""
    from stock_pipeline.lake.partitions import read_partition
    from stock_pipeline.lake.transforms import SNAPSHOT
    from stock_pipeline.schemas import LATEST_PRICES

    rows = read_partition(lake, LATEST_PRICES, SNAPSHOT, ["symbol", "price", "produced_at", "event_id"])
    columns: list[list[Any]] = [] if rows is None else [column.to_pylist() for column in rows.columns]
    return {symbol: Quote(price, at, event) for symbol, price, at, event in zip(*columns, strict=True)}


@dataclass(frozen=True)
class Quote:
    """A symbol's latest tick."""

    price: float
    produced_at: datetime
    event_id: str


@dataclass
class Board:
    """The latest prices that were seen since the command began."""

    wanted: tuple[str, ...] | None = None
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    _before: Mapping[str, Quote] = field(default_factory=dict)
    _first: dict[str, float] = field(default_factory=dict)
    _trends: dict[str, deque[float]] = field(default_factory=dict)

    def take(self, quotes: Mapping[str, Quote]) -> list[str]:
        """Look at a snapshot; returns the symbols with a new tick."""
        chosen = sorted(quotes) if self.wanted is None else [s for s in self.wanted if s in quotes]
        self._before, self.quotes = self.quotes, {symbol: quotes[symbol] for symbol in chosen}
        new = [s for s in chosen if s not in self._before or self._before[s].event_id != quotes[s].event_id]
        for symbol in new:
            price = quotes[symbol].price
            self._first.setdefault(symbol, price)
            self._trends.setdefault(symbol, deque(maxlen=_TREND)).append(price)
        return new

    @property
    def missing(self) -> list[str]:
        """The symbols asked for that have no price."""
        return [symbol for symbol in self.wanted or () if symbol not in self.quotes]

    def change(self, symbol: str) -> float:
        """The change of the price since the last refresh."""
        quote = self.quotes[symbol]
        return quote.price - self._before.get(symbol, quote).price

    def since_start(self, symbol: str) -> float:
        """The change of the price since the first one that was seen, as a share: 0.01 is one per cent."""
        return self.quotes[symbol].price / self._first[symbol] - 1

    def trend(self, symbol: str) -> str:
        """The prices seen, drawn between the lowest and the highest of them."""
        values = self._trends[symbol]
        low, high = min(values), max(values)
        steps = len(_BARS) - 1
        return "".join(_BARS[round((v - low) / (high - low) * steps) if high > low else steps // 2] for v in values)

    def screen(self, now: datetime, rows: int) -> Table:
        """The board as a table of at most `rows` rows; its caption says what is not in it."""
        table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
        for name in ("symbol", "price", "change", "since start", "trend", "last tick", "age"):
            left = name in {"symbol", "trend"}
            table.add_column(name, justify="left" if left else "right", no_wrap=True, overflow="crop")
        shown = list(self.quotes)[: max(rows, 1)]
        for symbol in shown:
            quote, change, since = self.quotes[symbol], self.change(symbol), self.since_start(symbol)
            old = now - quote.produced_at > _STALE
            table.add_row(
                Text(harmless(symbol), "bold"),
                price_text(quote.price),
                Text(_signed(change), _style(change)),
                Text(f"{since:+.2%}", _style(round(since, 4))),
                Text(self.trend(symbol), "cyan"),
                Text(f"{quote.produced_at:%H:%M:%S}", "dim" if old else ""),
                Text(age(now - quote.produced_at), "dim" if old else ""),
            )
        table.caption = "\n".join(self._notes(len(self.quotes) - len(shown)))
        return table

    def _notes(self, left_out: int) -> Iterable[str]:
        if left_out:
            yield f"{left_out:,} more symbols; --symbols chooses which are shown"
        if self.missing:
            yield f"no price yet: {', '.join(self.missing)}"
        elif not self.quotes:
            yield _NOTHING
        yield f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, Ctrl-C ends"


def _on_screen(board: Board, look: Callable[[], dict[str, Quote]], interval: float) -> None:
    from rich.live import Live

    console = out()
    with Live(console=console, auto_refresh=False) as screen:
        while True:
            trouble = _look(board, look)
            table = board.screen(datetime.now(UTC), console.size.height - _FRAME)
            if trouble:
                table.caption = f"{trouble}; trying again"
            screen.update(table, refresh=True)
            time.sleep(interval)


def _as_lines(board: Board, look: Callable[[], dict[str, Quote]], interval: float) -> None:
    """A line for each new tick, for a log or a pipe."""
    say("symbol, price, change, since start, time (UTC), age")
    while True:
        before = board.quotes
        if trouble := _look(board, look):
            say(f"{trouble}; trying again", "yellow")
        for symbol, quote in board.quotes.items():
            if symbol not in before or before[symbol].event_id != quote.event_id:
                typer.echo(_line(board, symbol, datetime.now(UTC)))
        time.sleep(interval)


def _look(board: Board, look: Callable[[], dict[str, Quote]]) -> str | None:
    """Refresh the board. Returns the error as a text if trying again may help."""
    try:
        board.take(look())
    except StoreUnavailable as error:
        return str(error)
    return None


def _print_once(board: Board) -> None:
    now = datetime.now(UTC)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("symbol", "price", "last tick (UTC)", "age"):
        shown.add_column(name, justify="left" if name == "symbol" else "right", no_wrap=True)
    for symbol, quote in board.quotes.items():
        shown.add_row(
            Text(harmless(symbol)), price_text(quote.price), f"{quote.produced_at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            age(now - quote.produced_at),
        )  # fmt: skip
    if board.quotes:
        out().print(shown)
    if board.missing:
        say(f"no price yet: {', '.join(board.missing)}")
    elif not board.quotes:
        say(_NOTHING)


def _line(board: Board, symbol: str, now: datetime) -> str:
    quote = board.quotes[symbol]
    return (
        f"{harmless(symbol):<8} {price_text(quote.price):>12} {_signed(board.change(symbol)):>9} "
        f"{board.since_start(symbol):>+8.2%}  {quote.produced_at:%Y-%m-%d %H:%M:%S}  {age(now - quote.produced_at)}"
    )


def _signed(change: float) -> str:
    if not change:
        return ""
    return ("▲ " if change > 0 else "▼ ") + price_text(abs(change))


def _style(change: float) -> str:
    return "green" if change > 0 else "red" if change < 0 else "dim"
