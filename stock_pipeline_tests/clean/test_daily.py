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
        ({"volume": "100,1"}, "ragged_row", "9 cells, the header has 8"),
        ({"symbol": ""}, "missing_symbol", "symbol is blank"),
        ({"symbol": "  "}, "missing_symbol", "symbol is blank"),
        ({"symbol": "A B"}, "bad_symbol", "symbol 'A B'"),
        ({"symbol": "../../etc"}, "bad_symbol", "symbol '../../etc'"),
        ({"symbol": "A" * 17}, "bad_symbol", f"symbol '{'A' * 17}'"),
        ({"date": ""}, "missing_date", "date is blank"),
        ({"date": "2024-02-30"}, "bad_date", "date '2024-02-30' is no date here"),
        ({"date": "1899-12-31"}, "date_out_of_range", "date '1899-12-31' is not within 1900-01-01 and 2026-03-03"),
        ({"date": "2026-03-04"}, "date_out_of_range", "date '2026-03-04' is not within 1900-01-01 and 2026-03-03"),
        ({"close": ""}, "missing_price", "close is blank"),
        ({"close": "null"}, "missing_price", "close is blank"),
        ({"close": "x"}, "bad_number", "close 'x' is not a number"),
        ({"open": "1,2"[0] + "x"}, "bad_number", "open '1x' is not a number"),
        ({"volume": "many"}, "bad_number", "volume 'many' is not a number"),
        ({"adj_close": "?" * 100}, "bad_number", f"adj_close '{'?' * 77}...' is not a number"),
        ({"close": "NaN"}, "not_finite", "close is NaN, infinite or too large"),
        ({"high": "inf"}, "not_finite", "high is NaN, infinite or too large"),
        ({"low": "-1e999"}, "not_finite", "low is NaN, infinite or too large"),
        ({"volume": str(2**53)}, "not_finite", "volume is NaN, infinite or too large"),
        ({"volume": str(-(2**53))}, "not_finite", "volume is NaN, infinite or too large"),
        ({"close": "0"}, "non_positive_price", "close 0 is not above zero"),
        ({"close": "-0.0"}, "non_positive_price", "close -0 is not above zero"),
        ({"close": "1e-400"}, "non_positive_price", "close 0 is not above zero"),
        ({"open": "-10"}, "non_positive_price", "open -10 is not above zero"),
        ({"low": "0"}, "non_positive_price", "low 0 is not above zero"),
        ({"adj_close": "-0.01"}, "non_positive_price", "adj_close -0.01 is not above zero"),
        ({"volume": "-1"}, "negative_volume", "volume -1 is below zero"),
        ({"high": "10.99"}, "inconsistent_ohlc", "high 10.99 is below close 11"),
        ({"open": "12.01"}, "inconsistent_ohlc", "high 12 is below open 12.01"),
        ({"low": "10.01"}, "inconsistent_ohlc", "open 10 is below low 10.01"),
        ({"low": "11.01", "open": "11.5"}, "inconsistent_ohlc", "close 11 is below low 11.01"),
        ({"low": "13", "open": "", "close": "11"}, "inconsistent_ohlc", "high 12 is below low 13"),
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
        {"symbol": "A" * 16},
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
        "open": ("x", "bad_number"),
        "high": ("inf", "not_finite"),
        "low": ("0", "non_positive_price"),
        "volume": ("-0.5", "negative_volume"),
    }
    order = [reason.value for reason in Reason]
    assert [reason for _, reason in breaks.values()] == sorted((r for _, r in breaks.values()), key=order.index)
    cells = {field: text for field, (text, _) in breaks.items()}
    while cells:
        assert judge(**cells)[0] == breaks[next(iter(cells))][1]
        del cells[next(iter(cells))]


def test_of_one_reason_the_first_column_is_named():
    assert judge(low="x", open="y", close="z")[1] == "open 'y' is not a number"
    assert judge(volume="x", adj_close="y")[1] == "adj_close 'y' is not a number"


def test_tomorrow_moves_with_the_day():
    rows = parse_daily_prices(b"date,close\n2024-05-05,1\n", "AAPL.csv")
    counts = [clean_daily_prices(rows, date(2024, 5, 5) + timedelta(d)).good.num_rows for d in (-2, -1, 0, 1)]
    assert counts == [0, 1, 1, 1]


def test_the_result_has_the_types_of_the_table():
    provenance = ("source", "etl_loading_ts")
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
    assert cleaned.good.to_pylist() == [
        {
            "symbol": "AAPL",
            "date": date(2024, 1, 2),
            "open": None,
            "high": 12.1,
            "low": 9.0,
            "close": 10.123456789012345,
            "adj_close": None,
            "volume": None,
        }
    ]


def test_a_rejected_row_comes_with_its_line_and_text():
    cleaned = load(f"{HEADER}\n{','.join(GOOD.values())}\nAAPL,,,,,,,\r\nshort\n")
    assert cleaned.rejected.to_pylist() == [
        {"line": 3, "reason": "missing_date", "detail": "date is blank", "raw": "AAPL,,,,,,,"},
        {"line": 4, "reason": "ragged_row", "detail": "1 cells, the header has 8", "raw": "short"},
    ]
    assert cleaned.lines.tolist() == [2]
    assert cleaned.raw([2, 4]) == [",".join(GOOD.values()), "short"]


numbers = st.sampled_from(["", "x", "NaN", "inf", "-1", "0", "0.5", "9", "10", "11", "12", "1e6", "9e15", "1e16"])
rows = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["", "AAPL", "A B", "NA", "brk-b"]),
        "date": st.sampled_from(
            ["", "2024-01-02", "2024-02-30", "1899-12-31", "1900-01-01", "2026-03-03", "2026-03-04"]
        ),
        **dict.fromkeys(("open", "high", "low", "close", "adj_close", "volume"), numbers),
    }
)


def oracle(row):
    """The rules once more, a row at a time and as plainly as possible."""
    if not row["symbol"]:
        return "missing_symbol"
    if row["symbol"] == "A B":
        return "bad_symbol"
    if not row["date"]:
        return "missing_date"
    if row["date"] == "2024-02-30":
        return "bad_date"
    if not date(1900, 1, 1) <= date.fromisoformat(row["date"]) <= TODAY + timedelta(days=1):
        return "date_out_of_range"
    if not row["close"]:
        return "missing_price"
    if "x" in row.values():
        return "bad_number"
    values = {f: float(row[f]) for f in ("open", "high", "low", "close", "adj_close", "volume") if row[f]}
    if not all(abs(v) < (2**53 if f == "volume" else float("inf")) for f, v in values.items()):
        return "not_finite"
    volume = values.pop("volume", 0)
    if any(v <= 0 for v in values.values()):
        return "non_positive_price"
    if volume < 0:
        return "negative_volume"
    compared = [v for f, v in values.items() if f != "adj_close"]
    if values.get("high", float("inf")) < max(compared) or values.get("low", 0) > min(compared):
        return "inconsistent_ohlc"
    return None


@given(st.lists(rows, max_size=10))
def test_rows_are_judged_as_one_at_a_time(given_rows):
    cleaned = load("\n".join([HEADER, *(",".join(row[f] for f in HEADER.split(",")) for row in given_rows)]))
    expected = [oracle(row) for row in given_rows]
    assert rejects(cleaned) == [(i + 2, reason) for i, reason in enumerate(expected) if reason]
    kept = [(i, row) for i, (row, reason) in enumerate(zip(given_rows, expected, strict=True)) if not reason]
    assert cleaned.lines.tolist() == [i + 2 for i, _ in kept]
    assert [b["close"] for b in bars(cleaned)] == [float(row["close"]) for _, row in kept]
    assert cleaned.rows == len(given_rows)


def test_a_file_of_mostly_broken_rows_is_refused_beyond_a_number(monkeypatch):
    monkeypatch.setattr("stock_pipeline.clean.daily.MAX_REJECTED", 3)
    good, bad = "A,2024-01-02,1\n", "A,2024-01-02,x\n"
    assert load(f"symbol,date,close\n{bad * 3}{good}").rows == 4
    assert load(f"symbol,date,close\n{bad * 5}{good * 5}").rows == 10
    for text in (bad * 4 + good, bad * 2 + "1,2,3,4\n" * 2 + good, "x\n" * 4):
        with pytest.raises(FileRefused, match=r"more than 3 rows break a rule, .* \w+_\w+$"):
            load(f"symbol,date,close\n{text}")
