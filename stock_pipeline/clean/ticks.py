"""The rules of ticks: which messages are stored, and why the others are not.

`parse` reads the messages. It rejects those that are not JSON, that lack a symbol, price or time, or whose number, time
or event id cannot be read. This module judges the values. A tick is rejected for one reason: the first that applies in
this order:

    bad_symbol          no ticker; class shares get their dot here (BRK-B → BRK.B), products such as BTC-USD stay
    non_positive_price
    negative_volume     a size below zero; there need not be one, and it can be a fraction of a coin or share
    bad_timestamp       before 1990, when there were no such messages
    future_timestamp    further ahead than the allowed clock skew
    bad_event_id        longer than 128 characters
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import (
    Bools,
    Codes,
    Ints,
    as_arrow,
    as_numpy,
    booleans,
    concatenated,
    nothing,
    offsets,
    strings,
    unified,
    valid,
)
from stock_pipeline.clean import Cleaned
from stock_pipeline.clean.corrections import AT, are_cancels, as_corrections, with_corrections
from stock_pipeline.clean.sale_conditions import may_set_last
from stock_pipeline.parse.symbols import canonical
from stock_pipeline.parse.ticks.parser import TickRows
from stock_pipeline.schemas import REJECTED, STREAM_PRICES_HISTORY, TRADE_CORRECTIONS, Reason

MAX_SKEW = timedelta(minutes=5)
"""How far a producer's clock may be ahead of ours."""

FIRST_TIME = datetime(1990, 1, 1, tzinfo=UTC)
LONGEST_EVENT_ID = 128

_STORED = [field for field in STREAM_PRICES_HISTORY.schema if field.name not in ("source", "etl_loading_ts")]
NO_CORRECTIONS = pa.Table.from_batches(
    [], pa.schema([f for f in TRADE_CORRECTIONS.schema if f.name not in ("source", "etl_loading_ts")])
)

_LINE_BITS = 40  # no object has more lines than this many bits can count
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class CleanedObjects:
    """The ticks of several source objects, judged together. `of` gives the part of one object.

    `corrections` has the columns of `trade_corrections` without the provenance. `correction_objects` (int32) says which
    object each of its rows came from. `cancels` counts, for each object, the rows of `corrections` that are not rows of
    `good` as well. `good` and `lines` are as in `Cleaned`, over all objects in their order. `objects` (int32) says
    which object each row came from, and `rejected_objects` says it for the rejected rows. `skipped` has one count for
    each object, `refused` the reason of each object that was refused whole.
    """

    good: pa.Table
    objects: Codes
    lines: Ints
    rejected: pa.Table
    rejected_objects: Codes
    skipped: Ints
    refused: dict[int, str]
    raw: Callable[[int, Sequence[int]], list[str]]
    corrections: pa.Table
    correction_objects: Codes
    cancels: Ints

    def of(self, index: int) -> Cleaned:
        """One object's part, without copying. Refused objects have none (see `refused`)."""
        # Of the same type: otherwise all the objects would be converted.
        bounds = np.array([index, index + 1], np.int32)
        start, end = np.searchsorted(self.objects, bounds)
        first, last = np.searchsorted(self.rejected_objects, bounds)
        return Cleaned(
            good=self.good.slice(start, end - start),
            lines=self.lines[start:end],
            rejected=self.rejected.slice(first, last - first),
            skipped=int(self.skipped[index]),
            raw=partial(self.raw, index),
            cancels=int(self.cancels[index]),
        )


@dataclass(frozen=True)
class _Finding:
    """Rows that break a rule, and what is wrong with one of them in words."""

    reason: Reason
    broken: Bools
    words: Callable[[int], str]


def clean_tick_objects(rows: TickRows, now: datetime, *, max_skew: timedelta = MAX_SKEW) -> CleanedObjects:
    """Judge the ticks of several objects at once by the rules above; `now` is the current time (with its zone)."""
    if rows.corrections.num_rows:
        rows = with_corrections(rows)
    codes, forms = _symbols(rows.table["symbol"])
    symbols = [canonical(form) for form in forms]
    findings = [f for f in _findings(rows.table, codes, forms, symbols, now, max_skew) if f.broken.any()]
    keep = np.ones(len(codes), bool)
    for finding in findings:
        keep &= ~finding.broken
    at = rows.table.schema.get_field_index("symbol")
    table = rows.table.set_column(at, rows.table.schema.field(at), _symbol_column(codes, symbols))
    position = rows.objects.astype(np.int64)
    position <<= _LINE_BITS
    position |= rows.lines
    good, order = _kept_in_order(table, keep, position)
    rejected, rejected_objects = _rejected(rows, findings, np.flatnonzero(~keep))
    return _cleaned(rows, _judged(good, rows.lines[order]), order, rejected, rejected_objects)


def _judged(good: pa.Table, lines: Ints) -> pa.Table:
    """The columns added to good ticks: their line, and whether they may set the last price."""
    place = concatenated(good["place"], np.int32)
    first = place == 0
    placed = pa.nulls(len(first), pa.int32()) if first.all() else as_arrow(place, pa.int32(), first)
    good = good.set_column(good.schema.get_field_index("place"), "place", placed)
    good = good.append_column("line", as_arrow(lines.astype(np.int32), pa.int32()))
    good = good.append_column("sets_last", may_set_last(good))
    return (
        good if "corrects" in good.column_names else good.append_column("corrects", pa.nulls(len(lines), pa.string()))
    )


def _cleaned(
    rows: TickRows, good: pa.Table, order: Ints, rejected: pa.Table, rejected_objects: Codes
) -> CleanedObjects:
    """The good ticks, separate from cancels and corrections: a cancel is not a tick."""
    objects, lines = rows.objects[order], rows.lines[order]
    corrections, owners = NO_CORRECTIONS, np.zeros(0, np.int32)
    cancels = np.zeros(len(rows.skipped), np.int64)
    if rows.corrections.num_rows:
        named = valid(good[AT])
        corrections, owners = as_corrections(good.filter(booleans(named)), rows.corrections), objects[named]
        gone = are_cancels(good, rows.corrections)
        cancels += np.bincount(objects[gone], minlength=len(cancels))
        trades = np.ones(len(lines), bool)
        trades[gone] = False
        good, objects, lines = good.filter(booleans(trades)), objects[trades], lines[trades]
    # A column that no message can fill is null: the table may know more than the parser.
    columns = [good[f.name] if f.name in good.column_names else nothing(f.type, good.num_rows) for f in _STORED]
    good = pa.Table.from_arrays(columns, schema=pa.schema(_STORED))
    return CleanedObjects(
        good,
        objects,
        lines,
        rejected,
        rejected_objects,
        rows.skipped,
        rows.refused,
        rows.raw,
        corrections,
        owners,
        cancels,
    )


def _symbols(column: pa.ChunkedArray) -> tuple[Codes, list[str]]:
    """The code of each row's symbol, and the unchanged symbols."""
    chunks = unified(column).chunks
    if not chunks:
        return np.zeros(0, np.int32), []
    codes = np.concatenate([as_numpy(chunk.indices, np.int32) for chunk in chunks])
    return codes, chunks[0].dictionary.to_pylist()


def _symbol_column(codes: Codes, symbols: list[str | None]) -> pa.DictionaryArray:
    distinct = sorted({symbol for symbol in symbols if symbol is not None})
    place = {symbol: n for n, symbol in enumerate(distinct)}
    code_of = np.array([place.get(symbol or "", 0) for symbol in symbols], np.int32)
    return pa.DictionaryArray.from_arrays(as_arrow(code_of[codes], pa.int32()), strings(distinct), safe=False)


def _kept_in_order(table: pa.Table, keep: Bools, position: Ints) -> tuple[pa.Table, Ints]:
    """The rows to keep in the order of their positions, and where in the table they were.

    Rows are in order within a chunk, and almost all chunks are in order. Only chunks that overlap are sorted together.
    The other rows are not copied.
    """
    good: list[pa.RecordBatch] = []
    order: list[Ints] = [np.zeros(0, np.int64)]
    end, start = -1, 0
    for batch in table.to_batches():
        at = np.flatnonzero(keep[start : start + len(batch)]) + start
        if len(at):
            kept = batch if len(at) == len(batch) else batch.filter(booleans(keep[start : start + len(batch)]))
            if position[at[0]] < end:
                kept, at = _merged(good, order, kept, at, position)
            good.append(kept)
            order.append(at)
            end = position[at[-1]]
        start += len(batch)
    return pa.Table.from_batches(good, table.schema), np.concatenate(order)


def _merged(
    good: list[pa.RecordBatch], order: list[Ints], batch: pa.RecordBatch, at: Ints, position: Ints
) -> tuple[pa.RecordBatch, Ints]:
    """A batch, joined in order with the earlier ones that it overlaps. These are taken off the lists."""
    batches, places = [batch], [at]
    while good and position[order[-1][-1]] > position[at[0]]:
        batches.insert(0, good.pop())
        places.insert(0, order.pop())
    every = np.concatenate(places)
    sorting = np.argsort(position[every], kind="stable")
    return pa.concat_batches(batches).take(as_arrow(sorting, pa.int64())), every[sorting]


def _findings(
    table: pa.Table, codes: Codes, forms: list[str], symbols: list[str | None], now: datetime, max_skew: timedelta
) -> list[_Finding]:
    """Every rule with the rows that break it, in the order in which the rules count."""
    earliest, latest = ((moment - _EPOCH) // _MICROSECOND for moment in (FIRST_TIME, now + max_skew))
    bad_form = np.array([symbol is None for symbol in symbols], bool)

    def of(name: str, broken: Callable[[pa.Array], Bools]) -> Bools:
        return np.concatenate([np.zeros(0, bool), *map(broken, table[name].chunks)])

    def moment(row: int) -> str:
        return str(np.datetime64(table["produced_at"][row].value, "us"))

    def time_of(chunk: pa.Array) -> Ints:
        return as_numpy(chunk, np.int64)

    return [
        _Finding(Reason.BAD_SYMBOL, bad_form[codes], lambda row: f"symbol is {forms[codes[row]][:80]!r}"),
        _Finding(
            Reason.NON_POSITIVE_PRICE,
            of("price", lambda chunk: as_numpy(chunk, np.float64) <= 0),
            lambda row: f"price is {table['price'][row].as_py():.15g}",
        ),
        _Finding(
            Reason.NEGATIVE_VOLUME,
            of("size", lambda chunk: (as_numpy(chunk, np.float64) < 0) & valid(pa.chunked_array([chunk]))),
            lambda row: f"size is {table['size'][row].as_py():.15g}",
        ),
        _Finding(
            Reason.BAD_TIMESTAMP,
            of("produced_at", lambda chunk: time_of(chunk) < earliest),
            lambda row: f"{moment(row)} is before {FIRST_TIME.year}",
        ),
        _Finding(
            Reason.FUTURE_TIMESTAMP,
            of("produced_at", lambda chunk: time_of(chunk) > latest),
            # Without the present time: otherwise each delivery of the same object would write its record again.
            lambda row: f"{moment(row)} was more than {max_skew.total_seconds():g} s ahead of the clock",
        ),
        _Finding(
            Reason.BAD_EVENT_ID,
            of("event_id", lambda chunk: np.diff(offsets(chunk)) > LONGEST_EVENT_ID),
            lambda row: f"{len(table['event_id'][row].as_buffer())} bytes, where {LONGEST_EVENT_ID} are the limit",
        ),
    ]


def _rejected(rows: TickRows, findings: list[_Finding], at: Ints) -> tuple[pa.Table, Codes]:
    """The rows that the parser rejected and the rows that break a rule, in the order of the objects and their lines."""
    if not len(at):
        return rows.rejected, rows.rejected_objects
    at = at[np.lexsort((rows.lines[at], rows.objects[at]))]
    first = np.argmax(np.stack([finding.broken[at] for finding in findings]), axis=0)
    chosen = [findings[n] for n in first.tolist()]
    objects, lines = rows.objects[at], rows.lines[at]
    texts: list[str] = []
    owners, starts = np.unique(objects, return_index=True)
    for index, mine in zip(owners.tolist(), np.split(lines, starts[1:]), strict=True):
        texts += rows.raw(index, mine.tolist())
    found = pa.Table.from_arrays(
        [
            as_arrow(lines, pa.int64()),
            rows.table["place"].take(as_arrow(at, pa.int64())).combine_chunks(),
            strings([finding.reason.value for finding in chosen]),
            strings([finding.words(row) for finding, row in zip(chosen, at.tolist(), strict=True)]),
            strings(texts),
        ],
        schema=REJECTED,
    )
    every = pa.concat_tables([rows.rejected, found]).combine_chunks()
    owners = np.concatenate([rows.rejected_objects, objects])
    places = as_numpy(every["place"].chunk(0), np.int32)
    order = np.lexsort((places, as_numpy(every["line"].chunk(0), np.int64), owners))
    return every.take(as_arrow(order, pa.int64())), owners[order]
