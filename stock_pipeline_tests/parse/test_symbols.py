"""Symbols are strings, in one canonical form; a file's own symbol is told, never guessed."""

import pytest

from stock_pipeline.parse.symbols import canonical
from stock_pipeline_tests.support.daily_files import bars, good, load, refusal

NO_SYMBOL = "date,close\n2024-01-02,1\n"
WITH_SYMBOL = "symbol,date,close\nMSFT,2024-01-02,1\n"


@pytest.mark.parametrize(
    "symbol", ["NA", "NULL", "TRUE", "FALSE", "0700", "1E5", "NAN", "INF", "N/A"[0], "NONE", "2024"]
)
def test_words_that_readers_turn_into_something_else_stay_symbols(symbol):
    assert good(f"symbol,date,close\n{symbol},2024-01-02,1\n")[0]["symbol"] == symbol


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("aapl", "AAPL"),
        (" AAPL\t", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("BRK-B", "BRK.B"),
        ("brk/b", "BRK.B"),
        ("VOD.L", "VOD.L"),
        ("4063.T", "4063.T"),
        ("RCI-B.TO", "RCI-B.TO"),
        ("BAC-PL", "BAC-PL"),
        ("BTC-USD", "BTC-USD"),
        ("0-A", "0-A"),
        ("^GSPC", "^GSPC"),
        ("EURUSD=X", "EURUSD=X"),
        ("A" * 16, "A" * 16),
        ("A" * 17, None),
        ("", None),
        ("-A", None),
        (".A", None),
        ("=A", None),
        ("A/BC", None),
        ("../AAPL", None),
        ("A;DROP", None),
        ("A'--", None),
        ("<B>", None),
        ("AA PL", None),
        ("Ä", None),
        ("A\n", None),
        ("٣", None),
    ],
)
def test_the_canonical_form(text, symbol):
    assert canonical(text) == symbol


@pytest.mark.parametrize(
    ("key", "symbol"),
    [
        ("daily_prices/uploads/AAPL.csv", "AAPL"),
        ("AAPL.CSV.GZ", "AAPL"),
        ("AAPL.txt", "AAPL"),
        ("AAPL.zip", "AAPL"),
        ("BRK-A.csv", "BRK.A"),
        ("VOD.L.csv", "VOD.L"),
        ("0700.HK.csv", "0700.HK"),
        ("0700.csv", "0700"),
        ("^GSPC.csv", "^GSPC"),
        ("aapl.us.txt", "AAPL.US"),
        ("symbol=AAPL/part-0.csv", "AAPL"),
        ("uploads/Symbol=BRK%2FB/data.csv", "BRK.B"),
        ("symbol=AAPL/MSFT.csv", "AAPL"),
        ("symbol=data/x.csv", "DATA"),
    ],
)
def test_a_file_or_folder_names_its_symbol(key, symbol):
    assert good(NO_SYMBOL, key)[0]["symbol"] == symbol


@pytest.mark.parametrize(
    "key",
    [
        "prices.csv",
        "aapl.csv",
        "DATA.csv",
        "PRICES.csv.gz",
        "AAPL (1).csv",
        "AAPL_daily.csv",
        "HistoricalData_1704153600000.csv",
        "2024.csv",
        "20240102.csv",
        "2024-01-02.csv",
        "date=2024-01-02/prices.csv",
        "symbol=/x.csv",
        ".csv",
    ],
)
def test_another_name_refuses_the_file_with_the_remedy(key):
    message = refusal(NO_SYMBOL, key)
    assert "no symbol column, and the name of the file" in message
    assert "give --symbol AAPL" in message


def test_a_symbol_can_be_given():
    assert good(NO_SYMBOL, "prices.csv", symbol="brk-b")[0]["symbol"] == "BRK.B"
    assert good(NO_SYMBOL, "symbol=AAPL/MSFT.csv", symbol="IBM")[0]["symbol"] == "IBM"


def test_the_column_wins_over_the_files_name():
    assert good(WITH_SYMBOL, "AAPL.csv")[0]["symbol"] == "MSFT"


def test_a_given_symbol_that_the_column_contradicts_refuses_the_file():
    assert good(WITH_SYMBOL, symbol="msft")[0]["symbol"] == "MSFT"
    message = "'AAPL' was given as the symbol, but column 'symbol' holds 'MSFT'"
    assert message in refusal(WITH_SYMBOL, symbol="AAPL")
    assert message in refusal(WITH_SYMBOL, "symbol=AAPL/x.csv")


def test_what_is_given_must_be_a_symbol():
    assert "'../x' is not a symbol" in refusal(NO_SYMBOL, symbol="../x")
    assert "is not a symbol" in refusal(NO_SYMBOL, "symbol=..%2F/x.csv")


def test_two_spellings_are_one_symbol():
    cleaned = load("symbol,date,close\nbrk-b,2024-01-02,1\nBRK.B,2024-01-03,2\n")
    assert [b["symbol"] for b in bars(cleaned)] == ["BRK.B", "BRK.B"]
    assert cleaned.good.column("symbol").chunk(0).dictionary.to_pylist() == ["BRK.B"]
