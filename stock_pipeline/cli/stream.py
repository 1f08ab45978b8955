"""`stock-pipeline stream`: send ticks to Kinesis, simulated or from a recording."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import complain, live, out, say, working
from stock_pipeline.cli.options import Symbols, with_symbols
from stock_pipeline.cli.target import aws, starts_one
from stock_pipeline.errors import SimulationError, StockPipelineError

if TYPE_CHECKING:
    from stock_pipeline.aws.kinesis import Sent
    from stock_pipeline.receipts import Receipt
    from stock_pipeline.settings import Settings
    from stock_pipeline.simulate.faults import Faults

RATE = 100.0


def stream(
    rate: Annotated[
        float | None,
        typer.Option(
            help=f"Ticks per second over all symbols; by default {RATE:g}, or as fast as possible from a file.",
            metavar="N",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", help="How long; by default until Ctrl-C or the end of the file.")
    ] = None,
    symbols: Symbols = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of the ticks and faults; by default the setting.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Send the lines of this file as they are: JSON lines, or .gz of them.",
            exists=True, dir_okay=False, readable=True, metavar="FILE",
        ),
    ] = None,
    faults: Annotated[
        str | None, typer.Option(
            help="Faults as shares of the ticks: duplicates=0.1,late=0.1,malformed=0.01.", metavar="FAULTS"
        ),
    ] = None,
) -> None:  # fmt: skip
    """Send ticks to Kinesis, simulated in real time or from a file.

    Firehose writes them to staging, and the sensor or the Lambda function
    brings them into stream_prices_history and latest_prices. A file that is
    sent while `dev` runs is followed into the tables: the command says what
    became of the lines, and fails when nothing was stored. Simulated ticks are
    not waited for: `watch` shows them, `rejects list` what was rejected. If no
    `dev` runs, the command starts the local AWS, whose function takes the
    ticks, and waits for the tables in either case.

    Simulated prices follow the session that opened last, at any hour. Ctrl-C
    sends the delayed ticks and ends with status 0. If the stream does not take
    all lines, the status is 1, and the message says how many lines are lost and
    why. Sending a file again stores nothing twice.

    Examples:

        stock-pipeline stream --seconds 60
        stock-pipeline stream --rate 1000 --symbols AAPL,MSFT --seconds 30
        stock-pipeline stream --seconds 30 --faults duplicates=0.1,late=0.1
        stock-pipeline stream --file ticks.jsonl.gz --rate 500
    """
    wrong = _faults(faults)
    for option, value in (("--rate", rate), ("--seconds", seconds)):
        if value is not None and not 0 < value < float("inf"):
            raise typer.BadParameter(f"{value:g} is not a positive number", param_hint=option)
    if file:
        _refuse_document(file)
    if file and symbols is not None:
        raise typer.BadParameter("the symbols are in the file; leave out --symbols or --file", param_hint="--symbols")
    own = starts_one()
    with aws(processor="lambda") as settings:
        from stock_pipeline.aws.kinesis import check_sent
        from stock_pipeline.cli.tick_progress import TickProgress
        from stock_pipeline.local import running
        from stock_pipeline.local.dev.session import found

        followed = own or bool(file and running() and found())
        settings = with_symbols(settings, symbols)
        settings = settings if seed is None else replace(settings, seed=seed)
        arriving = TickProgress(settings)
        sent = _send(settings, file, rate, seconds, wrong)
        if followed and sent.lines:
            with working("waiting until the tables have them"):
                arriving.wait_for(sent)
                receipts = arriving.receipts()
            check_sent(sent)
            _check_stored(receipts)
    _say_where_they_are(settings, followed)
    check_sent(sent)


def _refuse_document(file: Path) -> None:
    """Refuse a file whose JSON records go over several lines. It would be sent line by line, in broken pieces."""
    from stock_pipeline.producer.recordings import recorded_lines

    first = next((line.strip() for line in recorded_lines(file, 1024) if line.strip()), b"")
    if first.lstrip(b"\xef\xbb\xbf") and not first.lstrip(b"\xef\xbb\xbf[{ \t"):
        raise StockPipelineError(
            f"{file} has JSON records that go over several lines; nothing of it was sent. A recording has one record "
            "per line: "
            f"jq -c 'if type == \"array\" then .[] else . end' {file.name} > lines.jsonl"
        )


def _send(
    settings: Settings, file: Path | None, rate: float | None, seconds: float | None, faults: Faults | None
) -> Sent:
    """Send ticks until they end, the time is up, or Ctrl-C. Shows how many are sent, and prints a summary."""
    from stock_pipeline.aws.kinesis import kinesis_client
    from stock_pipeline.producer.live import produce_live, replay
    from stock_pipeline.simulate.daily import default_symbols

    name, kinesis, started_at = settings.require("stream_name"), kinesis_client(), time.monotonic()
    with _ended_by_sigterm(), _stopping(seconds) as stop, live("sending") as show:
        progress = _progress(show, started_at, seconds)
        if file:
            sent = replay(
                kinesis, name, file, rate=rate, faults=faults, seed=settings.seed, on_progress=progress, stop=stop
            )
        else:
            sent = produce_live(
                kinesis, name, default_symbols(settings.symbols), seed=settings.seed, rate=rate or RATE,
                seconds=seconds, faults=faults, on_progress=progress,
            )  # fmt: skip
    out().print(f"sent {summary(sent)} in {time.monotonic() - started_at:.1f} s to {name}", markup=False)
    return sent


def summary(sent: Sent) -> str:
    """What was sent, in words: `6,590 lines in 312 records (812.0 kB), 0 retries, 0 failed`."""
    from rich.filesize import decimal

    return (
        f"{sent.lines:,} lines in {sent.records:,} records ({decimal(sent.bytes)}), {sent.retries:,} retries, "
        f"{sent.failed:,} failed"
    )


def _faults(text: str | None) -> Faults | None:
    if text is None:
        return None
    from stock_pipeline.simulate.faults import Faults

    try:
        return Faults.parse(text)
    except SimulationError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from error


def _progress(show: Callable[[str], None], started_at: float, seconds: float | None) -> Callable[[Sent], None]:
    def progress(sent: Sent) -> None:
        passed = time.monotonic() - started_at
        of = f" of {seconds:,.0f}" if seconds else ""
        retries = f", {sent.retries:,} retries" if sent.retries else ""
        show(f"{sent.lines:,} lines sent, {sent.lines / max(passed, 1e-3):,.0f}/s, {passed:,.0f}{of} s{retries}")

    return progress


@contextmanager
def _stopping(seconds: float | None) -> Iterator[Event]:
    """An event that is set when the time is up."""
    stop = Event()
    timer = Timer(seconds, stop.set) if seconds else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield stop
    finally:
        if timer:
            timer.cancel()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Inside the block, SIGTERM does the same as Ctrl-C: delayed ticks are sent before the end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_stored(receipts: Sequence[Receipt]) -> None:
    """Print what became of the ticks, from their receipts. Raises StockPipelineError when nothing was stored."""
    skipped = sum(r.skipped for r in receipts)
    stored = sum(r.rows - r.rejected_rows - r.conflicts for r in receipts) - skipped
    reasons = sum((Counter(r.rejected) for r in receipts), Counter[str]())
    reasons["conflict"] += sum(r.conflicts for r in receipts)
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()) if count)
    told = f"{stored:,} stored, {skipped:,} skipped, {reasons.total():,} rejected" + (
        f" ({rejected})" if rejected else ""
    )
    out().print(told, markup=False)
    for receipt in receipts:
        if receipt.refused:
            complain(f"{receipt.source}: {receipt.refused}")
    if not stored:
        raise StockPipelineError(
            f"nothing was stored: {told}; skipped messages are known but are not trades, and "
            "`stock-pipeline rejects list` shows why others were rejected"
        )


def _say_where_they_are(settings: Settings, followed: bool) -> None:
    from stock_pipeline.local import running
    from stock_pipeline.local.dev.session import found

    if followed:
        say("they are in stream_prices_history and latest_prices: stock-pipeline watch --once")
    elif running() and settings.processor == "dagster" and not found():
        say(
            "nothing brings them into the tables yet: `stock-pipeline dev`, whose sensor does it, is not running",
            "yellow",
        )
    else:
        say(
            "they are sent, and this did not wait for the tables; `stock-pipeline watch` shows them arrive, and "
            "`stock-pipeline rejects list` what was rejected"
        )
