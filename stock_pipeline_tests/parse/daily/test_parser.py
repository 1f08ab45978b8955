"""Laws of reading a table: no column ever shifts, no row is lost, every line is explained."""

import csv
import io
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline_tests.support.daily_files import bars, good, load, refusal, rejects

HEADERS = {
    "symbol": ["symbol", "Ticker", "<TICKER>", "company"],
    "date": ["date", "Date", "timestamp", "<DATE>"],
    "open": ["open", "Open", "<OPEN>"],
    "high": ["high", " High"],
    "low": ["Low", "low_price"],
    "close": ["close", "Close/Last", "close_price", "<CLOSE>"],
    "adj_close": ["Adj Close", "adjclose", "adjusted_close"],
    "volume": ["volume", "Vol", "VOLUME"],
}
NOTES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
SYMBOLS = st.sampled_from("AAPL MSFT NA TRUE NULL 0700 1E5 BRK.B ^GSPC ES=F VOD.L".split())
PRICES = st.floats(0.01, 1e6).map(lambda p: round(p, 4))


@st.composite
def tables(draw):
    """Rows of daily prices in a random layout and dialect: the values, the header, and the file's bytes."""
    fields = [
        "symbol",
        "date",
        "close",
        *draw(st.sets(st.sampled_from(["open", "high", "low", "adj_close", "volume"]))),
    ]
    notes = [f"note{i}" for i in range(draw(st.integers(0, 2)))]
    columns = draw(st.permutations([*fields, *notes]))
    rows = []
    first = draw(st.dates(date(1900, 1, 1), date(2026, 2, 19)))
    for nth in draw(st.permutations(range(draw(st.integers(0, 12))))):
        low, *between, high = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
        row = {
            "symbol": draw(SYMBOLS),
            "date": first + timedelta(nth),  # once each: lines that contest a key have tests of their own
            "open": between[0],
            "high": high,
            "low": low,
            "close": between[1],
            "adj_close": draw(PRICES),
            "volume": draw(st.integers(0, 2**53 - 1) | PRICES),
        }
        rows.append({f: row[f] for f in fields} | {n: draw(NOTES) for n in notes})
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t|")),
        # Before Python 3.13 the other ways leave line feeds unquoted when lines end with a carriage return.
        quoting=draw(
            st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC][: 1 if end == "\r" else 3])
        ),
        lineterminator=end,
    )
    writer.writerow([draw(st.sampled_from(HEADERS.get(c, [c]))) for c in columns])
    for row in rows:
        writer.writerow([row[c] for c in columns])
        text.write(draw(st.sampled_from(["", "", end, " " + end])))
    body = text.getvalue()
    if draw(st.booleans()):
        body = body.rstrip("\r\n")
    data = body.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    return [{k: v for k, v in row.items() if k in fields} for row in rows], data


@given(tables(), st.integers(400, 600))
def test_what_was_written_is_what_is_read(table, block):
    rows, data = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stock_pipeline.parse.daily.csv_dialect.BLOCK", block)
        assert good(data, "prices.csv") == [dict(sorted(row.items(), key=order)) for row in rows]


@pytest.mark.parametrize("block", range(40, 140, 3))
def test_a_byte_order_mark_at_the_begin_of_a_line_is_text_wherever_blocks_are_cut(monkeypatch, block):
    text = "symbol,date,close\n" + "\ufeffAAPL,2024-01-02,1\n" * 6
    whole = load(text)
    monkeypatch.setattr("stock_pipeline.parse.daily.csv_dialect.BLOCK", block)
    assert load(text).rejected.to_pylist() == whole.rejected.to_pylist()
    assert bars(load(text)) == bars(whole)


def order(item):
    return ["symbol", "date", "open", "high", "low", "close", "adj_close", "volume"].index(item[0])


@given(st.lists(st.tuples(st.integers(1, 7), PRICES), min_size=1, max_size=12))
def test_a_row_of_another_width_is_rejected_and_shifts_nothing(widths):
    lines = [
        ",".join([f"2024-01-{i + 1:02}", str(price), *"xyzuvw"][:width]) for i, (width, price) in enumerate(widths)
    ]
    cleaned = load("\n".join(["date,close,note,more", *lines]))
    # With one cell more, every place of it leaves date and close where they are.
    assert rejects(cleaned) == [(i + 2, "ragged_row") for i, (width, _) in enumerate(widths) if width not in (4, 5)]
    assert [b["close"] for b in bars(cleaned)] == [price for width, price in widths if width in (4, 5)]


pieces = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", " ", "A", "2024-01-02", "1", "A,2024-01-02,1\n", '"x",', "é"]
)


def physical(text):
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@given(st.lists(pieces, max_size=40).map("".join), st.integers(12, 60))
def test_every_line_is_explained_whatever_the_quoting(body, block):
    text = "symbol,date,close\n" + body
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stock_pipeline.parse.daily.csv_dialect.BLOCK", block)
        try:
            cleaned = load(text)
        except FileRefused as refused:
            assert "is longer than" in str(refused)  # noqa: PT017
            return
        there = physical(text)
        lines = sorted([*cleaned.lines.tolist(), *cleaned.rejected["line"].to_pylist()])
        covered = {1}
        for line, raw in zip(lines, cleaned.raw(lines), strict=True):
            span = range(line, line + len(raw.split("\n")))
            assert [t.rstrip("\r") for t in raw.split("\n")] == there[span.start - 1 : span.stop - 1]
            assert not covered & set(span)
            covered |= set(span)
        assert not any(t.strip() for i, t in enumerate(there, 1) if i not in covered)
        assert cleaned.rejected["raw"].to_pylist() == cleaned.raw(cleaned.rejected["line"].to_pylist())


@given(st.lists(pieces, max_size=40).map("".join), st.integers(0, 10))
def test_the_size_of_blocks_changes_nothing(body, slack):
    text = "symbol,date,close\n" + body
    whole = load(text)
    records = [*physical(text), *whole.raw(whole.lines), *whole.rejected["raw"].to_pylist()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "stock_pipeline.parse.daily.csv_dialect.BLOCK", max(len(record.encode()) for record in records) + 2 + slack
        )
        cut = load(text)
    assert cut.good.equals(whole.good)
    assert cut.rejected.equals(whole.rejected)
    assert cut.lines.tolist() == whole.lines.tolist()


@given(st.lists(st.text('",;\nA1 ', max_size=6), min_size=3, max_size=3), st.text('",;\nA1 ', max_size=6))
def test_well_formed_quoting_is_read_as_rfc_4180(cells, note):
    text = io.StringIO("date,close,a,b,c,d\n")
    text.seek(0, io.SEEK_END)
    csv.writer(text, lineterminator="\n").writerow(["2024-01-02", 1, *cells, note])
    text.write("2024-01-03,2,,,,\n")
    cleaned = load(text.getvalue())
    assert [b["close"] for b in bars(cleaned)] == [1.0, 2.0]
    assert cleaned.lines.tolist() == [2, 3 + "".join([*cells, note]).count("\n")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('A,"2024-01-02,1\nB,2024-01-02,2\n', [(2, "bad_quoting")]),
        ('B,2024-01-02,2\nA,"2024-01-02,1', [(3, "bad_quoting")]),
        ('A,"2024-01-02"x,1\nB,2024-01-02,2\n', [(2, "bad_quoting")]),
        ('A,x"2024-01-02",1\nB,2024-01-02,2\n', [(2, "bad_quoting")]),
        ('A, "2024-01-02",1\nB,2024-01-02,2\n', [(2, "bad_quoting")]),
        ('A,2024-01-02,1"\nB,2024-01-02,2\n', [(2, "bad_quoting")]),
        ('"A""",2024-01-02,1\nB,2024-01-02,2\n', [(2, "bad_symbol")]),
        # Two lines each left open: neither closes the other.
        ('A,"2024-01-02,1\nB,2024-01-02,2\nC,"2024-01-02,1\n', [(2, "bad_quoting"), (4, "bad_quoting")]),
        # One opens, a later one closes: by RFC 4180 this is one record, and nothing says otherwise.
        ('A,"2024-01-02,1\nX,2024-01-02,9\nC",2024-01-02,1\nB,2024-01-02,2\n', [(2, "ragged_row")]),
        # The same beside a line that shows that the quoting is not to be trusted: the line between may be text.
        (
            'A,"2024-01-02,1\nX,2024-01-02,9\nC",2024-01-02,1\nB,2024-01-02,2\nD"\n',
            [(2, "bad_quoting"), (3, "bad_quoting"), (4, "bad_quoting"), (6, "bad_quoting")],
        ),
    ],
)
def test_malformed_quoting_rejects_its_lines_and_no_others(body, expected):
    cleaned = load("symbol,date,close\n" + body)
    assert rejects(cleaned) == expected
    assert bars(cleaned) == [{"symbol": "B", "date": date(2024, 1, 2), "close": 2.0}]
    assert cleaned.rejected["detail"][0].as_py()


def test_quoted_cells_may_hold_separators_quotes_and_line_breaks():
    text = 'note,date,close\n"a, ""b""\nc",2024-01-02,1\n"",2024-01-03,"2"\n\n"x\n\ny",2024-01-04,zero\n'
    cleaned = load(text)
    assert [b["close"] for b in bars(cleaned)] == [1.0, 2.0]
    assert cleaned.lines.tolist() == [2, 4]
    assert cleaned.rejected.to_pylist() == [
        {
            "line": 6,
            "place": None,
            "reason": "bad_number",
            "detail": "close 'zero' is not a number",
            "raw": '"x\n\ny",2024-01-04,zero',
        }
    ]
    assert cleaned.raw([2, 4, 6, 3, 99, 0]) == [
        '"a, ""b""\nc",2024-01-02,1',
        '"",2024-01-03,"2"',
        *cleaned.raw([6]),
        "",
        "",
        "",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\n", " \n\n", "sep=,\n", "\ufeff"])
def test_lines_are_counted_as_an_editor_counts_them(start, end):
    text = f"{start}date,close\n\n2024-01-02,1\n   \n2024-01-03,x\n2024-01-04\n\n\n2024-01-05,2\n\n".replace("\n", end)
    cleaned = load(text)
    before = start.count("\n")
    assert (cleaned.lines - before).tolist() == [3, 9]
    assert [(line - before, reason) for line, reason in rejects(cleaned)] == [(5, "bad_number"), (6, "ragged_row")]
    assert cleaned.raw(cleaned.lines) == ["2024-01-02,1", "2024-01-05,2"]
    assert cleaned.raw([0, -5, 4 + before, 100]) == ["", "", "   ", ""]


def test_mixed_line_breaks_end_lines_too():
    cleaned = load("date,close\r\n2024-01-02,1\r2024-01-03,2\n2024-01-04,x\r\n")
    assert cleaned.lines.tolist() == [2, 3]
    assert rejects(cleaned) == [(4, "bad_number")]


def test_a_line_of_separators_is_a_row_and_not_a_blank_line():
    assert rejects(load("symbol,date,close\n,,\n\nA,2024-01-02,1\n")) == [(2, "missing_symbol")]


def test_a_file_of_blank_lines_has_no_rows():
    assert load("symbol,date,close\n" + "\n \n" * 1000).rows == 0


def test_a_table_of_another_width_altogether_is_refused(monkeypatch):
    monkeypatch.setattr("stock_pipeline.parse.daily.records.MAX_RAGGED", 1000)
    assert load("date,close\n" + "1\n" * 1000).rejected.num_rows == 1000
    message = refusal("date,close\n" + "1\n" * 1001)
    assert message == "more than 1,000 rows do not have the 2 columns of the header"


def test_many_blocks_are_one_table():
    days = [date(2024, 1, 1) + timedelta(i) for i in range(80)]
    rows = [f"S{i % 5000},{days[i // 5000]},{i % 997 + 0.25}" for i in range(400_000)]
    rows[123_456] = "S1,2024-01-01"
    rows[399_999] = "S1,2024-01-01,x"
    cleaned = load("\n".join(["symbol,date,close", *rows]))
    assert rejects(cleaned) == [(123_458, "ragged_row"), (400_001, "bad_number")]
    kept = [i for i in range(399_999) if i != 123_456]
    assert np.array_equal(cleaned.lines, np.array(kept) + 2)
    assert cleaned.good["close"].to_pylist() == [i % 997 + 0.25 for i in kept]
    assert cleaned.good["symbol"].to_pylist() == [f"S{i % 5000}" for i in kept]


def test_rows_know_the_files_own_names_of_columns():
    rows = parse_daily_prices(b"<DATE>,Close/Last\n2024-01-02,1\n", "AAPL.csv")
    assert rows.names == {"date": "<DATE>", "close": "Close/Last"}


def test_reading_prices_does_not_pull_in_pandas():
    program = """
import sys
from datetime import date
from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.parse.daily.parser import parse_daily_prices
for data in (
    b'ticker,date,close,volume\\nA,2024-01-02,$1,"1,000"\\nB,2024-01-02,x,\\nB,2024-01-02\\n\\n"B,1,1,1\\n',
    b"date;close;volume\\n02/01/2024;1.234,5;1.000\\n02/01/2024;1.234,5;\\n03/01/2024;10.5x;-1\\n"
    b"04/01/2024;1;1\\n04/01/2024;2;-1\\n",
    b"symbol,time,open,close,volume\\nV.L,1717401600,1,1,-1\\n7.T,1717372800,1,1,1.5M\\n7.T,1717372800,,1,\\n",
    b"date,open,close\\n2024-01-02,10,10,5\\n2024-01-03,10,11,\\nclose,date,open\\n1,2024-01-04,2\\n",
    b'a title\\nSymbol,Series,Date,Close,\\n="0050",N1,2024-01-02,10 EUR,\\n',
):
    clean_daily_prices(parse_daily_prices(data, "AAPL.csv"), date(2026, 1, 1))
    heavy = {"pandas", "boto3", "dagster", "duckdb"} & set(sys.modules)
    assert not heavy, (heavy, data)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
