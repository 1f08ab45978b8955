"""Each rule of daily prices, each boundary of each rule, and which reason wins."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline.schemas import PRICE_BY_DATE, REJECTED, Reason
from stock_pipeline_tests.support.daily_files import TODAY, bars, load, rejects

HEADER = "symbol,date,open,high,low,close,adj_close,volume"
GOOD = {
    "symbol": "AAPL",
    "date": "2024-01-02",
    "open": "10",
    "high": "12",
    "low": "9",
    "close": "11",
    "adj_close": "5",
    "volume": "100",
}


def judge(**cells):
    """Reason and detail of one row, None when it is good."""
    cleaned = load(f"{HEADER}\n{','.join({**GOOD, **cells}.values())}\n")
    rejected = cleaned.rejected.to_pylist()
    return (rejected[0]["reason"], rejected[0]["detail"]) if rejected else None


@pytest.mark.parametrize(
    ("cells", "reason", "detail"),
    [
        ({"volume": "100,1,2"}, "ragged_row", "10 cells, the header has 8"),
        ({"symbol": ""}, "missing_symbol", "symbol is blank"),
        ({"symbol": "  "}, "missing_symbol", "symbol is blank"),
        ({"symbol": "N/A"}, "missing_symbol", "symbol is blank"),
        ({"symbol": "A BC"}, "bad_symbol", "symbol 'A BC'"),
        ({"symbol": "../../etc"}, "bad_symbol", "symbol '../../etc'"),
        ({"symbol": "A" * 33}, "bad_symbol", f"symbol '{'A' * 33}'"),
        ({"date": ""}, "missing_date", "date is blank"),
        ({"date": "2024-02-30"}, "bad_date", "'2024-02-30' is not a valid date"),
        ({"date": "1899-12-31"}, "date_out_of_range", "date '1899-12-31' is not within 1900-01-01 and 2026-03-03"),
        ({"date": "2026-03-04"}, "date_out_of_range", "date '2026-03-04' is not within 1900-01-01 and 2026-03-03"),
        ({"close": ""}, "missing_price", "close is blank"),
        ({"close": "null"}, "missing_price", "close is blank"),
        ({"close": "x"}, "bad_number", "close 'x' is not a number"),
        ({"close": "NaN"}, "missing_price", "close is blank"),
        ({"close": "inf"}, "not_finite", "close inf is infinite or too large"),
        ({"close": "-1e999"}, "not_finite", "close -inf is infinite or too large"),
        ({"close": "0"}, "non_positive_price", "close 0 is not above zero"),
        ({"close": "-0.0"}, "non_positive_price", "close -0 is not above zero"),
        ({"close": "1e-400"}, "non_positive_price", "close 0 is not above zero"),
        ({"close": "-3"}, "non_positive_price", "close -3 is not above zero"),
        ({"high": "10.99"}, "inconsistent_ohlc", "high 10.99 is below close 11"),
        ({"open": "12.01"}, "inconsistent_ohlc", "high 12 is below open 12.01"),
        ({"low": "10.01"}, "inconsistent_ohlc", "open 10 is below low 10.01"),
        ({"low": "11.01", "open": "11.5"}, "inconsistent_ohlc", "close 11 is below low 11.01"),
        ({"low": "13", "open": "", "close": "11"}, "inconsistent_ohlc", "high 12 is below low 13"),
        ({"high": "10.9999999", "open": ""}, "inconsistent_ohlc", "high 10.9999999 is below close 11"),
    ],
)
def test_a_row_is_rejected_with_its_reason(cells, reason, detail):
    assert judge(**cells) == (reason, detail)


def test_a_row_whose_quoting_is_malformed_is_rejected_with_its_reason():
    assert judge(symbol='A"') == ("bad_quoting", "the cells cannot be told apart")


@pytest.mark.parametrize(
    "cells",
    [
        {},
        {"date": "1900-01-01"},
        {"date": "2026-03-03"},
        {"open": "", "high": "", "low": "", "adj_close": "", "volume": ""},
        {"open": "null", "high": "-", "low": "N/A", "adj_close": "none", "volume": "#N/A"},
        {"volume": "0"},
        {"volume": "-0"},
        {"volume": str(2**53 - 1)},
        {"volume": "25643711.0"},
        {"volume": "1e6"},
        {"close": "1e-300", "low": "1e-300"},
        {"close": "12"},
        {"close": "9"},
        {"open": "12"},
        {"open": "9"},
        {"high": "11"},
        {"open": "11", "high": "11", "low": "11"},
        {"high": "", "open": "100"},
        {"low": "", "open": "0.5", "close": "0.5"},
        {"symbol": "A" * 32},
        {"open": "NaN", "high": "None", "low": "#N/A", "adj_close": "<NA>", "volume": "nan"},
        {"volume": "0.5"},
        {"volume": "9007199254740990.5"},
        {"high": "10.99999999999"},  # the last digits of a double
        {"low": "11.00000000001", "open": "11.5"},
        {"symbol": "9"},
        {"adj_close": "1e9"},
    ],
)
def test_a_row_at_the_boundary_of_a_rule_is_good(cells):
    assert judge(**cells) is None


def test_the_first_reason_in_the_order_of_the_list_wins():
    breaks = {
        "symbol": ("", "missing_symbol"),
        "date": ("2024-02-30", "bad_date"),
        "close": ("", "missing_price"),
        "high": ("8", "inconsistent_ohlc"),
    }
    order = [reason.value for reason in Reason]
    assert [reason for _, reason in breaks.values()] == sorted((r for _, r in breaks.values()), key=order.index)
    cells = {field: text for field, (text, _) in breaks.items()}
    while cells:
        assert judge(**cells)[0] == breaks[next(iter(cells))][1]
        del cells[next(iter(cells))]


class TestOptionalValues:
    """A bar is not lost for an optional value: it is null and on record."""

    @pytest.mark.parametrize(
        ("field", "text", "reason", "words"),
        [
            ("open", "x", "bad_number", "'x' is not a number"),
            ("high", "?" * 100, "bad_number", f"'{'?' * 77}...' is not a number"),
            ("low", "0", "non_positive_price", "0 is not above zero"),
            ("open", "-10", "non_positive_price", "-10 is not above zero"),
            ("high", "inf", "not_finite", "inf is infinite or too large"),
            ("adj_close", "-0.01", "non_positive_price", "-0.01 is not above zero"),
            ("adj_close", "1e999", "not_finite", "inf is infinite or too large"),
            ("volume", "many", "bad_number", "'many' is not a number"),
            ("volume", "-1.0", "negative_volume", "-1 is below zero"),
            ("volume", str(2**53), "not_finite", "9.00719925474099e+15 is infinite or too large"),
            ("volume", str(2**53 + 1), "not_finite", "9.00719925474099e+15 is infinite or too large"),
            ("volume", str(-(2**53)), "not_finite", "-9.00719925474099e+15 is infinite or too large"),
        ],
    )
    def test_one_that_cannot_be_taken_is_null_and_on_record(self, field, text, reason, words):
        row = ",".join({**GOOD, field: text}.values())
        cleaned = load(f"{HEADER}\n{row}\n")
        assert bars(cleaned) == [
            {k: v for k, v in bars(load(f"{HEADER}\n{','.join(GOOD.values())}"))[0].items() if k != field}
        ]
        assert cleaned.nulled == {reason: 1}
        assert cleaned.notes.to_pylist() == [
            {"line": 2, "place": None, "reason": reason, "detail": f"stored without {field} ({words})", "raw": row}
        ]
        assert (cleaned.rejected.num_rows, cleaned.rows) == (0, 1)

    def test_a_row_has_one_record_and_each_value_is_counted(self):
        cleaned = load(f"{HEADER}\nA,2024-01-02,x,0,,11,-1,-5\nA,2024-01-03,10,12,9,11,5,-1\n")
        assert cleaned.nulled == {"bad_number": 1, "negative_volume": 2, "non_positive_price": 2}
        assert [(note["line"], note["reason"]) for note in cleaned.notes.to_pylist()] == [
            (2, "bad_number"),
            (3, "negative_volume"),
        ]
        assert cleaned.notes["detail"][0].as_py() == (
            "stored without open ('x' is not a number), high (0 is not above zero), adj_close (-1 is not above zero), "
            "volume (-5 is below zero)"
        )

    def test_a_rejected_row_has_no_note(self):
        cleaned = load(
            f"{HEADER}\n,2024-01-02,x,0,,11,-1,-5\nA,2024-01-03,8,12,9,11,5,-1\nA,2024-01-04,x,12,9,11,5,-1\n"
        )
        assert rejects(cleaned) == [(2, "missing_symbol"), (3, "inconsistent_ohlc")]
        assert cleaned.nulled == {"bad_number": 1, "negative_volume": 1}
        assert cleaned.notes["line"].to_pylist() == [4]

    def test_what_is_null_is_not_compared(self):
        assert judge(high="0", low="0", open="500") is None


def test_tomorrow_moves_with_the_day():
    rows = parse_daily_prices(b"date,close\n2024-05-05,1\n", "AAPL.csv")
    counts = [clean_daily_prices(rows, date(2024, 5, 5) + timedelta(d)).good.num_rows for d in (-2, -1, 0, 1)]
    assert counts == [0, 1, 1, 1]


def test_the_result_has_the_types_of_the_table():
    provenance = ("source", "etl_loading_ts", "adj_known_at")
    expected = pa.schema([field for field in PRICE_BY_DATE.schema if field.name not in provenance])
    for text in (HEADER, f"{HEADER}\n{','.join(GOOD.values())}\n", "date,close\n2024-01-02,1\nx,x\n"):
        cleaned = load(text)
        assert cleaned.good.schema == expected
        assert cleaned.rejected.schema == REJECTED
        assert cleaned.lines.dtype == np.int64
        cleaned.good.validate(full=True)
        cleaned.rejected.validate(full=True)


def test_values_are_kept_to_the_last_bit_and_blanks_are_null():
    cleaned = load(f"{HEADER}\nAAPL,2024-01-02,,12.1,9,10.123456789012345,,\n")
    told = {"symbol": "AAPL", "date": date(2024, 1, 2), "high": 12.1, "low": 9.0, "close": 10.123456789012345}
    assert cleaned.good.to_pylist() == [dict.fromkeys(cleaned.good.schema.names) | told]


def test_a_rejected_row_comes_with_its_line_and_text():
    cleaned = load(f"{HEADER}\n{','.join(GOOD.values())}\nAAPL,,,,,,,\r\nshort\n")
    assert cleaned.rejected.to_pylist() == [
        {"line": 3, "place": None, "reason": "missing_date", "detail": "date is blank", "raw": "AAPL,,,,,,,"},
        {"line": 4, "place": None, "reason": "ragged_row", "detail": "1 cells, the header has 8", "raw": "short"},
    ]
    assert cleaned.lines.tolist() == [2]
    assert cleaned.raw([2, 4]) == [",".join(GOOD.values()), "short"]


numbers = st.sampled_from(["", "x", "NaN", "inf", "-1", "0", "0.5", "9", "10", "11", "12", "1e6", "9e15", "1e16"])
rows = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["", "AAPL", "A BC", "NA", "brk-b"]),
        "date": st.sampled_from(
            ["", "2024-01-02", "2024-02-30", "1899-12-31", "1900-01-01", "2026-03-03", "2026-03-04"]
        ),
        **dict.fromkeys(("open", "high", "low", "close", "adj_close", "volume"), numbers),
    }
)


def broken_number(field, text):
    """The rule that a number breaks."""
    if text == "x":
        return "bad_number"
    value = float(text)
    if abs(value) >= (2**53 if field == "volume" else float("inf")):
        return "not_finite"
    if field == "volume":
        return "negative_volume" if value < 0 else None
    return "non_positive_price" if value <= 0 else None


def oracle(row):
    """The rules once more, a row at a time and as plainly as possible: a reason, the values, and what is left out."""
    cells = {f: row[f] for f in ("open", "high", "low", "close", "adj_close", "volume") if row[f] not in ("", "NaN")}
    left_out = [reason for f, text in cells.items() if f != "close" and (reason := broken_number(f, text))]
    values = {f: float(text) for f, text in cells.items() if not broken_number(f, text)}
    if not row["symbol"]:
        return "missing_symbol", values, left_out
    if row["symbol"] == "A BC":
        return "bad_symbol", values, left_out
    if not row["date"]:
        return "missing_date", values, left_out
    if row["date"] == "2024-02-30":
        return "bad_date", values, left_out
    if not date(1900, 1, 1) <= date.fromisoformat(row["date"]) <= TODAY + timedelta(days=1):
        return "date_out_of_range", values, left_out
    if "close" not in cells:
        return "missing_price", values, left_out
    if reason := broken_number("close", cells["close"]):
        return reason, values, left_out
    compared = [v for f, v in values.items() if f not in ("adj_close", "volume")]
    if values.get("high", float("inf")) < max(compared) or values.get("low", 0) > min(compared):
        return "inconsistent_ohlc", values, left_out
    return None, values, left_out


def contested(given_rows, judged):
    """The rows of keys for which two good rows have different values somewhere."""
    keys = {}
    for i, (row, (reason, values, _)) in enumerate(zip(given_rows, judged, strict=True)):
        if reason is None:
            keys.setdefault((row["symbol"], row["date"]), []).append((i, values))
    found = set()
    for group in keys.values():
        said = {}
        for _, values in group:
            for field, value in values.items():
                said.setdefault(field, set()).add(value)
        if any(len(values) > 1 for values in said.values()):
            found |= {i for i, _ in group}
    return found


@given(st.lists(rows, max_size=10))
def test_rows_are_judged_as_one_at_a_time(given_rows):
    cleaned = load("\n".join([HEADER, *(",".join(row[f] for f in HEADER.split(",")) for row in given_rows)]))
    judged = [oracle(row) for row in given_rows]
    ambiguous = contested(given_rows, judged)
    expected = ["ambiguous" if i in ambiguous else reason for i, (reason, _, _) in enumerate(judged)]
    assert rejects(cleaned) == [(i + 2, reason) for i, reason in enumerate(expected) if reason]
    kept = [i for i, reason in enumerate(expected) if not reason]
    assert cleaned.lines.tolist() == [i + 2 for i in kept]
    for bar, i in zip(bars(cleaned), kept, strict=True):
        values = judged[i][1]
        assert values.items() <= bar.items()  # a blank may be filled by an equal line
    left_out = [reason for i in kept for reason in judged[i][2]]
    assert cleaned.nulled == {reason: left_out.count(reason) for reason in sorted(set(left_out))}
    assert cleaned.notes["line"].to_pylist() == [i + 2 for i in kept if judged[i][2]]
    assert cleaned.rows == len(given_rows)


def test_a_file_of_mostly_broken_rows_is_refused_beyond_a_number(monkeypatch):
    monkeypatch.setattr("stock_pipeline.clean.daily.MAX_REJECTED", 3)
    good, bad = "A,2024-01-02,1\n", "A,2024-01-02,x\n"
    assert load(f"symbol,date,close\n{bad * 3}{good}").rows == 4
    assert load(f"symbol,date,close\n{bad * 5}{good * 5}").rows == 10
    for text in (bad * 4 + good, bad * 2 + "1,2,3,4\n" * 2 + good, "x\n" * 4):
        with pytest.raises(FileRefused, match=r"more than 3 rows break a rule, .* \w+_\w+$"):
            load(f"symbol,date,close\n{text}")
