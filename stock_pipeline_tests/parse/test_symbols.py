"""Symbols are strings, in one canonical form; a file's own symbol is told, never guessed."""

import pytest

from stock_pipeline.parse.symbols import canonical
from stock_pipeline_tests.support.daily_files import bars, good, load, refusal

NO_SYMBOL = "date,close\n2024-01-02,1\n"
WITH_SYMBOL = "symbol,date,close\nMSFT,2024-01-02,1\n"


@pytest.mark.parametrize("symbol", ["NA", "NULL", "TRUE", "FALSE", "0700", "1E5", "NAN", "INF", "NONE", "2024"])
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
        ("A" * 32, "A" * 32),
        ("A" * 33, None),
        ("Aapl", "AAPL"),
        ("brk b", "BRK.B"),
        ("BF_B", "BF.B"),
        ("BCpC", "BCpC"),
        ("TpC", "TpC"),
        ("ABDw", "ABDw"),
        ("Ab", "Ab"),
        ("Brk-b", "Brk-b"),
        ("M&M", "M&M"),
        ("J&KBANK", "J&KBANK"),
        ("BAJAJ-AUTO", "BAJAJ-AUTO"),
        ("BTC/USDT", "BTC/USDT"),
        ("btc/usdt", "BTC/USDT"),
        ("X:BTCUSD", "X:BTCUSD"),
        ("O:SPY251219C00650000", "O:SPY251219C00650000"),
        ("BINANCE:BTCUSDT", "BINANCE:BTCUSDT"),
        ("OANDA:EUR_USD", "OANDA:EUR_USD"),
        ("BAC$L", "BAC$L"),
        ("ABC+", "ABC+"),
        ("ES#", "ES#"),
        ("$SPX", "$SPX"),
        ("@ES1!", None),
        ("BAC PRL", None),
        ('="0050"', "0050"),
        ("=0050", None),
        ("N/A", None),
        ("#N/A", None),
        ("", None),
        ("-A", None),
        (".A", None),
        ("=A", None),
        ("A/BC", "A/BC"),
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
        ("M&M.csv", "M&M"),
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
        "AAPL_DAILY.csv",
        "BTC USDT.csv",
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


class TestSeries:
    """NSE's SERIES tells a share from the other papers of its company."""

    @staticmethod
    def symbols(rows, header="symbol,series,date,close"):
        cleaned = load("\n".join([header, *rows]))
        return [b["symbol"] for b in bars(cleaned)], cleaned

    @pytest.mark.parametrize("series", ["EQ", "BE", "BZ", "SM", "ST", "", " eq "])
    def test_the_share_keeps_its_symbol(self, series):
        assert self.symbols([f"pqr,{series},2024-01-02,1"])[0] == ["PQR"]

    @pytest.mark.parametrize("series", ["D1", "N2", "GB", "B", "T0"])
    def test_another_paper_is_an_instrument_of_its_own_and_no_class_share(self, series):
        assert self.symbols([f"PQR,{series},2024-01-02,1", "PQR,EQ,2024-01-02,2"])[0] == [f"PQR-{series}", "PQR"]
        assert self.symbols([f"M&M,{series},2024-01-02,1"])[0] == [f"M&M-{series}"]

    def test_it_goes_with_the_symbol_of_the_file(self):
        assert self.symbols(["EQ,2024-01-02,1", "N1,2024-01-02,2"], "series,date,close")[0] == ["AAPL", "AAPL-N1"]

    def test_what_is_no_symbol_is_none_with_a_series_either(self):
        _, cleaned = self.symbols([",D1,2024-01-02,1", "A B C,D1,2024-01-02,1", f"{'A' * 31},D1,2024-01-02,1"])
        assert cleaned.rejected["reason"].to_pylist() == ["missing_symbol", "bad_symbol", "bad_symbol"]

    @pytest.mark.parametrize(
        ("rows", "header"),
        [
            (["PQR,Series A,2024-01-02,1"], "symbol,series,date,close"),
            (["PQR,A,BSE,2024-01-02,1"], "TckrSymb,SctySrs,Src,TradDt,ClsPric"),
        ],
    )
    def test_another_column_of_that_name_is_named_as_unread(self, rows, header):
        symbols, cleaned = self.symbols(rows, header)
        assert symbols == ["PQR"]
        assert header.split(",")[1] in cleaned.unread


class TestContracts:
    @pytest.mark.parametrize(
        "column", ["Expiry", "EXPIRY_DT", "XpryDt", "strike price", "OptnTp", "Put/Call", "maturity date"]
    )
    def test_columns_of_contracts_with_values_refuse_the_file(self, column):
        message = refusal(f"symbol,{column},date,close\nA,,2024-01-02,1\nA,26-Dec-24,2024-01-02,2\n")
        assert f"column '{column}' holds '26-Dec-24': these are contracts (futures or options)" in message

    @pytest.mark.parametrize("blank", ["", " ", "-", "0", "0.00", "XX", "NaN"])
    def test_blank_they_say_nothing(self, blank):
        assert len(good(f"symbol,expiry,strike,option type,date,close\nA,{blank},{blank},{blank},2024-01-02,1\n")) == 1


class TestNamesOfCompanies:
    """A column called name, company or stock may hold tickers, and names that look like these."""

    def test_one_that_contradicts_the_files_name_refuses_the_file(self):
        message = refusal("date,name,close\n2024-01-02,INFOTEL,1\n", "TST.csv")
        assert "column 'name' holds 'INFOTEL', but the file is named after 'TST'" in message
        assert good("date,symbol,close\n2024-01-02,INFOTEL,1\n", "TST.csv")[0]["symbol"] == "INFOTEL"

    def test_the_same_and_several_are_tickers(self):
        assert good("date,name,close\n2024-01-02,TST,1\n", "TST.csv")[0]["symbol"] == "TST"
        assert [b["symbol"] for b in good("date,name,close\n2024-01-02,ABC,1\n2024-01-02,DEF,1\n", "NYSE.csv")] == [
            "ABC",
            "DEF",
        ]
