"""Sale conditions: which trades may set a last price. A table of codes for each vendor, with its source.

The consolidated tapes give codes with each trade, and their specifications say which codes update the last price: the
*last* column of the update rules in the CTS Pillar output specification (CTA: tapes A and B) and in the UTP
specification (tape C). A code that updates it "only if the only one" does not set it here: such a trade is shown only
while a symbol has no other trade. If a trade has several codes, the strictest counts. A code that is not in these
tables changes nothing.

What does not belong here: the other uses of a trade's price (high and low, bars).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Ints, as_numpy, bitmap, concatenated, unified, valid

_UNKNOWN = 2

LATE_REPORT = 10_000_000
"""Microseconds between a trade and its report by a FINRA trade reporting facility, beyond which the report is late
(FINRA rules 6282, 6380A and 6380B: as soon as practicable, but no later than 10 seconds after execution)."""

ALPACA = frozenset("CGHIMNPQRTUVWZ47")
"""Alpaca's codes that set no last price, on every tape. Source: the CTA and UTP update rules, as Alpaca's market data
FAQ restates them a tape. C cash, G bunched sold, H price variation, I odd lot, M official close, N next day, P prior
reference price, Q official open, R seller, T and U extended hours, V contingent, W average price, Z sold out of
sequence, 4 derivatively priced, 7 qualified contingent."""

ALPACA_OF_TAPE = {"A": frozenset("B"), "B": frozenset("B")}
"""On tapes A and B the code B is an average price. On tape C it is a bunched trade, which sets the last price."""

MASSIVE = frozenset(["2", "5", "7", "10", "12", "13", "15", "16", "20", "21", "22", "29", "32", "33", "37", "52", "53"])
"""Massive's (Polygon's) condition numbers that set no last price. Source: its glossary of conditions, whose reference
endpoint `/v3/reference/conditions` has the consolidated update rules as data. 2 average price, 5 bunched sold, 7 cash,
10 derivatively priced, 12 and 13 extended hours, 15 official close, 16 official open, 20 next day, 21 price variation,
22 prior reference price, 29 seller, 32 and 33 sold out of sequence, 37 odd lot, 52 contingent, 53 qualified contingent.
"""

FINNHUB: frozenset[str] = frozenset()
"""Finnhub has its own list of numbered conditions. No specification that we could read confirms their rules, so its
codes are stored and change nothing.
"""


def sets_last(vendor: str | None, tape: str | None, conditions: str | None) -> bool | None:
    """Whether a trade with these codes (joined by ",") may set the last price; None if that is unknown.

    It is None for a vendor without a table, and for a trade without codes. Such a trade counts as one that may.
    """
    if conditions is None or vendor not in ("alpaca", "massive", "finnhub"):
        return None
    codes = {code.strip() for code in conditions.split(",")}
    if vendor == "alpaca":
        return not codes & (ALPACA | ALPACA_OF_TAPE.get(tape or "", frozenset()))
    return not codes & MASSIVE if vendor == "massive" else None


def may_set_last(rows: pa.Table) -> pa.Array:
    """`sets_last` of each row (columns vendor, tape, conditions, report_delay as the parser gives them), by column.

    A trade that a reporting facility reports late does not set the price, whatever its codes say.
    """
    number = rows.num_rows
    delays = rows["report_delay"]
    reported = delays.null_count < number
    if rows["conditions"].null_count == number and not reported:
        return pa.nulls(number, pa.bool_())
    packed, span = np.zeros(number, np.int64), 1
    columns = []
    for name in ("vendor", "tape", "conditions"):
        codes, values = _coded(rows[name])
        columns.append(values)
        packed *= len(values)
        packed += codes
        span *= len(values)
    judged = np.full(span, _UNKNOWN, np.int8)
    for combination in np.flatnonzero(np.bincount(packed, minlength=span)).tolist():
        rest, conditions = divmod(combination, len(columns[2]))
        vendor, tape = divmod(rest, len(columns[1]))
        judgement = sets_last(columns[0][vendor], columns[1][tape], columns[2][conditions])
        judged[combination] = _UNKNOWN if judgement is None else judgement
    found = judged[packed]
    if reported:
        found[valid(delays) & (concatenated(delays, np.int64) > LATE_REPORT)] = False
    unknown = found == _UNKNOWN
    return pa.Array.from_buffers(pa.bool_(), number, [bitmap(~unknown) if unknown.any() else None, bitmap(found == 1)])


def _coded(column: pa.ChunkedArray) -> tuple[Ints, list[str | None]]:
    """A code for each row of a dictionary column, and the values by code. Null has its own code."""
    chunks = unified(column).chunks
    values = chunks[0].dictionary.to_pylist() if chunks else []
    codes = np.concatenate([np.zeros(0, np.int32), *(as_numpy(chunk.indices, np.int32) for chunk in chunks)]).astype(
        np.int64
    )
    if column.null_count:
        codes[~valid(column)] = len(values)
    return codes, [*values, None]
