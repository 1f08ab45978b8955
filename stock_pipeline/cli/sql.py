"""`stock-pipeline sql`: run one statement and print its rows as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stock_pipeline.cli.console import CONTROL, harmless, out, say, table, text, working
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 100  # rows of a table for people
_BATCH = 10_000
_FORMULA = ("=", "+", "-", "@")
_ANY_WIDTH = 100_000
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def sql(
    statement: Annotated[
        str,
        typer.Argument(help="One SELECT, WITH, DESCRIBE, SHOW or EXPLAIN; - reads it from stdin.", metavar="STATEMENT"),
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="table (for people), csv, or json (an array of objects).")
    ] = Format.TABLE,
    param: Annotated[
        list[str] | None,
        typer.Option(
            help='The value of the next ?: a number, a day (2024-01-31), or a text; in "" always a text.',
            metavar="VALUE",
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Query price_by_date as it was at this time: 2024-06-03T20:00:00Z, or with an offset.", metavar="TIME"
        ),
    ] = None,
) -> None:
    """Query the tables: Athena in AWS, DuckDB on the local AWS.

    Tables: price_by_date (one row per symbol and session, partitioned by year),
    price_revisions (one row per former version of a row of price_by_date),
    stream_prices_history (one row per tick, partitioned by year, month, day),
    trade_corrections, latest_prices (one row per symbol) and rejected_records.
    All times are UTC. A condition on the partition columns makes the query read
    fewer objects.

    With --as-of, price_by_date has the rows that a reader saw at that time,
    whatever was restated, completed or removed since.

    Examples:

        stock-pipeline sql "SELECT * FROM price_by_date WHERE symbol = ? AND
            date >= ?" --param AAPL --param 2024-01-01
        stock-pipeline sql "SELECT symbol, count(*) AS ticks, max(price) AS high
            FROM stream_prices_history WHERE year = 2026 AND month = 1 AND day = 5
            GROUP BY symbol"
        stock-pipeline sql "SELECT * FROM latest_prices ORDER BY symbol"
        stock-pipeline sql "SELECT reason, count(*) AS n FROM rejected_records
            GROUP BY 1" --format json
        stock-pipeline sql "SELECT * FROM price_by_date" --as-of 2024-06-03T20:00Z
        stock-pipeline sql - --format csv < query.sql > prices.csv
    """
    read = sys.stdin.read() if statement == "-" else statement
    parameters, at = [value_of(p) for p in param or []], _moment(as_of)
    with aws() as settings:
        from stock_pipeline.query import sql as run

        # Most answers come at once. So only a terminal shows the waiting, where it disappears again.
        with working(f"asking {settings.sql_engine}") if sys.stderr.isatty() else nullcontext():
            rows = run(read, parameters, settings=settings, as_of=at)
    print_rows(rows, format_)


def print_rows(rows: pa.Table, format_: Format) -> None:
    """Print rows on stdout."""
    {Format.TABLE: show_rows, Format.CSV: _csv, Format.JSON: _json}[format_](rows)


def _moment(text: str | None) -> datetime | None:
    """The time of --as-of. Raises typer.BadParameter for one that cannot be read or names no zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is not a time such as 2024-06-03T20:00:00Z", param_hint="--as-of") from error
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text} has no time zone; write {moment.isoformat()}Z for UTC", param_hint="--as-of")
    return moment


def value_of(text: str) -> str | int | float | date:
    """The value of a parameter: a number or a day if it is written as one, else the text itself.

    `0700` and `1E5` are texts, because tickers may look like that. Quotes make a text of anything (`"700"`).
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    if found := _NUMBER.fullmatch(text):
        return float(text) if found[2] else int(text)
    if _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            return text
    return text


def show_rows(rows: pa.Table, title: str | None = None) -> None:
    """Print rows for people: the first hundred, with a note when there are more.

    They are a table; if the terminal is too narrow for it, each row is a block of lines.
    """
    rows = _whole(rows)
    numbers = {f.name for f in rows.schema if _is_number(f.type)}
    shown = table(title)
    for name in rows.column_names:
        shown.add_column(text(name), justify="right" if name in numbers else "left", overflow="fold")
    for row in _rows(rows.slice(0, _SHOWN)):
        shown.add_row(*(_cell(v) for v in row))
    console = out()
    wanted = console.measure(shown, options=console.options.update(max_width=_ANY_WIDTH)).maximum
    if sys.stdout.isatty() and wanted > console.width:
        _show_blocks(rows.slice(0, _SHOWN))
    else:
        console.print(shown)
    if rows.num_rows > _SHOWN:
        say(f"{_SHOWN} of {rows.num_rows:,} rows; --format csv prints them all")


def _whole(rows: pa.Table) -> pa.Table:
    """The rows, with whole numbers in the columns of doubles that hold nothing else (usually volumes)."""
    import pyarrow as pa

    for at, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            with suppress(pa.ArrowInvalid):  # a fraction, or nothing that is a number
                rows = rows.set_column(at, field.name, rows.column(at).cast(pa.int64()))
    return rows


def _show_blocks(rows: pa.Table) -> None:
    console = out()
    for number, row in enumerate(_rows(rows), 1):
        block = Table.grid(padding=(0, 2))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for name, value in zip(rows.column_names, row, strict=True):
            block.add_row(Text(harmless(name), "bold"), _cell(value))
        console.print(Rule(f"row {number:,}", align="left", style="dim"))
        console.print(block)


def _csv(rows: pa.Table) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(_for_csv, rows.column_names))
    writer.writerows(map(_for_csv, row) for row in _rows(rows))


def _for_csv(value: Any) -> Any:
    """A value as a cell that neither a terminal nor a spreadsheet acts on.

    A spreadsheet takes a text that begins with `=`, `+`, `-` or `@` for a formula. It gets an apostrophe before it, as
    OWASP advises. Numbers are no texts.
    """
    if value is None:
        return ""
    plain = _plain(value)
    if not isinstance(plain, (int, float, Decimal)):
        plain = harmless(str(plain))
        return f"'{plain}" if plain.lstrip()[:1] in _FORMULA else plain
    return plain


def _json(rows: pa.Table) -> None:
    names = rows.column_names
    write = sys.stdout.write
    write("[")
    for at, row in enumerate(_rows(rows)):
        record = {name: _for_json(value) for name, value in zip(names, row, strict=True)}
        write((",\n " if at else "\n ") + _harmless_json(json.dumps(record, ensure_ascii=False, allow_nan=False)))
    write("\n]\n" if rows.num_rows else "]\n")


def _rows(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows as Python values, one batch at a time. By position, because two columns may have the same name."""
    for batch in rows.to_batches(max_chunksize=_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _cell(value: Any) -> Any:
    return "[dim]null[/]" if value is None else text(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds" if value.microsecond else "seconds")
    return value.isoformat() if isinstance(value, date) else value


def _harmless_json(text: str) -> str:
    """JSON in which characters that act on a terminal are escaped. The values stay the same."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _for_json(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, decimals as numbers, NaN and infinity as null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(k): _for_json(v) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [_for_json(v) for v in value]
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)
