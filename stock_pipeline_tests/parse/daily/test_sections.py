"""Headers in the middle of a file are obeyed, or the file is refused."""

from datetime import date

import pytest

from stock_pipeline_tests.support.daily_files import bars, load, refusal, rejects


def test_the_same_header_again_is_skipped():
    cleaned = load("date,close\n2024-01-02,1\ndate,close\n2024-01-03,2\n DATE ,Close\n\n2024-01-04,3\n")
    assert [b["close"] for b in bars(cleaned)] == [1.0, 2.0, 3.0]
    assert (cleaned.lines.tolist(), cleaned.skipped, cleaned.rows, rejects(cleaned)) == ([2, 4, 7], 2, 5, [])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_below_a_header_in_another_order_are_read_in_its_order(separator):
    text = (
        "date,open,close\n2024-01-02,1,2\nclose,date,open\n4,2024-01-03,3\nx,2024-01-04,5\ndate,open,close\n2024-01-05,7,8\n"
    ).replace(",", separator)
    cleaned = load(text)
    assert [(b["date"].day, b["open"], b["close"]) for b in bars(cleaned)] == [
        (2, 1.0, 2.0),
        (3, 3.0, 4.0),
        (5, 7.0, 8.0),
    ]
    assert rejects(cleaned) == [(5, "bad_number")]
    assert cleaned.rejected["raw"].to_pylist() == ["x,2024-01-04,5".replace(",", separator)]
    assert (cleaned.lines.tolist(), cleaned.skipped) == ([2, 4, 7], 2)


def test_a_header_with_more_or_fewer_numbers_is_obeyed():
    text = (
        "date,close\n2024-01-02,1\ndate,close,volume,note\n2024-01-03,2,5,x\n2024-01-04,2\n"
        "date,low,close\n2024-01-05,1,3\n"
    )
    cleaned = load(text)
    assert [(b["close"], b.get("volume"), b.get("low")) for b in bars(cleaned)] == [
        (1, None, None),
        (2, 5, None),
        (3, None, 1),
    ]
    assert rejects(cleaned) == [(5, "ragged_row")]
    assert cleaned.rejected["detail"].to_pylist() == ["2 cells, the header has 4"]
    assert cleaned.unread == ("note",)


def test_a_header_is_none_of_the_symbols():
    text = "symbol,date,close\nA,2024-01-02,1\nsymbol,date,close\nA,2024-01-03,2\n"
    assert [b["symbol"] for b in bars(load(text, symbol="A"))] == ["A", "A"]
    text = "symbol,series,date,close\nA,EQ,2024-01-02,1\nsymbol,series,date,close\nA,N1,2024-01-02,2\n"
    assert [b["symbol"] for b in bars(load(text))] == ["A", "A-N1"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Date,Kurs,Open", "line 3 looks like another header, but names no date and close ('Date,Kurs,Open')"),
        ("Symbol,Date,Close", "line 3 is another header, with other columns ('Symbol,Date,Close')"),
    ],
)
def test_a_header_that_cannot_be_read_refuses_the_file(header, says):
    assert says in refusal(f"Date,Close,Open\n2024-01-02,1,1\n{header}\n2024-01-03,2,2\n")


def test_a_row_of_words_is_no_header():
    assert rejects(load("date,close\n2024-01-02,1\nSource:,a vendor\n2024-01-03,2\n")) == [(3, "bad_date")]


def test_sections_are_cut_into_blocks_like_any_text(monkeypatch):
    text = "date,open,close\n" + "".join(f"2024-01-{d:02},1,2\n" for d in range(1, 20))
    text += "close,date,open\n" + "".join(f"4,2024-02-{d:02},3\n" for d in range(1, 20))
    whole = load(text)
    monkeypatch.setattr("stock_pipeline.parse.daily.csv_dialect.BLOCK", 64)
    cut = load(text)
    assert cut.good.equals(whole.good)
    assert cut.lines.tolist() == whole.lines.tolist()
    assert {b["date"].month: (b["open"], b["close"]) for b in bars(cut)} == {1: (1.0, 2.0), 2: (3.0, 4.0)}


def test_more_headers_in_other_orders_than_any_file_has_refuse_it(monkeypatch):
    monkeypatch.setattr("stock_pipeline.parse.daily.sections.MAX_SECTIONS", 3)
    two = "date,close\n2024-01-02,1\nclose,date\n2,2024-01-03\n"
    assert load(two + "date,close\n").good.num_rows == 2
    assert "more than 3 headers in different orders" in refusal(two * 3)


def test_dates_and_marks_are_decided_over_all_sections():
    text = "date;close\n13/01/2024;1,5\nclose;date\n1.250;02/01/2024\n"
    assert [(b["date"], b["close"]) for b in bars(load(text))] == [(date(2024, 1, 13), 1.5), (date(2024, 1, 2), 1250.0)]
