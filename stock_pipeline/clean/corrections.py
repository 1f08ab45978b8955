"""Messages that cancel or correct a trade, as rows: how they are judged, and which rows they become.

A correction or a cancel is judged by the rules of ticks. The corrected trade becomes an ordinary tick that names the
trade it corrects, and each message becomes a row of `trade_corrections`. `ingest/corrections.py` decides which trades
count then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Ints, as_arrow, concatenated, strings, valid
from stock_pipeline.parse.ticks.parser import TickRows
from stock_pipeline.schemas import SYMBOL, TRADE_CORRECTIONS

AT = "correction"
"""The column that leads from a row, judged as a tick, to its message: the position of the message among all
corrections.
"""


def reference_of(exchange: str, session: date, number: int, price: float, size: float | None) -> str:
    """The venue's name for a trade of a symbol: `V:2024-06-03:101:81.1:25000.0`."""
    return f"{exchange}:{session}:{number}:{price!r}:{'' if size is None else repr(size)}"


def with_corrections(rows: TickRows) -> TickRows:
    """The ticks, followed by the corrections as ticks, so that the rules judge both."""
    more = _as_ticks(rows.corrections, rows.table.column_names)
    ticks = rows.table.append_column("corrects", pa.nulls(rows.table.num_rows, pa.string()))
    ticks = ticks.append_column(AT, pa.nulls(rows.table.num_rows, pa.int32()))
    return replace(
        rows,
        table=pa.concat_tables([ticks, more.cast(ticks.schema)]),
        objects=np.concatenate([rows.objects, rows.corrections_objects]),
        lines=np.concatenate([rows.lines, concatenated(rows.corrections["line"], np.int64)]),
    )


def _as_ticks(corrections: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Corrections (schema `parse.ticks.columns.CORRECTIONS`) as ticks, to be judged with them; cancels with their
    trade's price.

    `columns` are those of the ticks. Two more name the message (`AT`) and the trade that it corrects (`corrects`).
    """
    number = corrections.num_rows
    corrected = pc.is_valid(corrections["new_price"])

    def of(new: str, original: str) -> pa.ChunkedArray:
        return pc.if_else(corrected, corrections[new], corrections[original])

    have = {name: corrections[name] for name in corrections.column_names}
    have |= {"price": of("new_price", "price"), "size": of("new_size", "size")}
    have |= {"trade_number": of("new_number", "trade_number")}
    have |= {name: pa.nulls(number, kind) for name, kind in _NONE.items()}
    have |= {name: have[name].cast(pa.string()).dictionary_encode() for name in _ENCODED}
    have |= {"corrects": strings(references(corrections, "trade_number", "price", "size"))}
    have |= {AT: as_arrow(np.arange(number, dtype=np.int32), pa.int32())}
    return pa.table({name: have[name] for name in (*columns, "corrects", AT)})


def as_corrections(judged: pa.Table, messages: pa.Table) -> pa.Table:
    """The rows of `trade_corrections` (without provenance) of the good corrections; `messages` are all corrections."""
    mine = messages.take(concatenated(judged[AT], np.int32))
    corrected = pc.is_valid(mine["new_price"])
    replaced = strings(references(mine, "new_number", "new_price", "new_size"))
    columns = {name: mine[name] for name in ("session", "trade_number", "event_id", "produced_at")}
    columns |= {"symbol": judged["symbol"].cast(SYMBOL), "reference": judged["corrects"]}
    columns |= {"exchange": mine["exchange"].cast(pa.string()).dictionary_encode()}
    columns |= {"price": mine["new_price"], "size": mine["new_size"], "sets_last": judged["sets_last"]}
    columns |= {"replacement": pc.if_else(corrected, replaced, pa.scalar(None, pa.string()))}
    schema = pa.schema([f for f in TRADE_CORRECTIONS.schema if f.name in columns])
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def are_cancels(judged: pa.Table, messages: pa.Table) -> Ints:
    """The positions of the rows that are cancels: these are not trades."""
    at = np.flatnonzero(valid(judged[AT]))
    named = concatenated(judged[AT], np.int32)[at]
    cancelled = ~valid(messages["new_price"])
    found: Ints = at[cancelled[named]]
    return found


def references(corrections: pa.Table, number: str, price: str, size: str) -> list[str]:
    """The reference of each trade that these columns name."""
    names = ("exchange", "session", number, price, size)
    rows = zip(*(corrections[name].to_pylist() for name in names), strict=True)
    return [reference_of(exchange, day, n, p, s) for exchange, day, n, p, s in rows]


_ENCODED = ("symbol", "exchange", "conditions", "tape", "vendor")
_NONE = {"nanos": pa.int32(), "sequence": pa.int64(), "report_delay": pa.int64()}
