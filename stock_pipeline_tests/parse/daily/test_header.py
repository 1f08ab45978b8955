"""One file of each vendor's layout, made here in that layout; and the tables that are refused."""

from datetime import date

import pytest

from stock_pipeline_tests.support.daily_files import bars, good, load, refusal, rejects

JAN2, JAN3 = date(2024, 1, 2), date(2024, 1, 3)


def bar(symbol="AAPL", day=JAN2, **values):
    return {"symbol": symbol, "date": day, **values}


OHLC = {"open": 10.0, "high": 12.5, "low": 9.0, "close": 11.25}
VENDORS = {
    "seed": (
        "company,date,close_price\nNVDA,2024-01-02,48.17\nORCL,2024-01-03,103.5\n",
        "prices.csv",
        [bar("NVDA", close=48.17), bar("ORCL", JAN3, close=103.5)],
    ),
    "this project": (
        "symbol,date,open,high,low,close,volume\nAAPL,2024-01-02,10.0,12.5,9.0,11.25,1000\n",
        "prices.csv",
        [bar(**OHLC, volume=1000)],
    ),
    "Yahoo": (
        "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,10,12.5,9,11.25,11.1,1000\n",
        "AAPL.csv",
        [bar(**OHLC, adj_close=11.1, volume=1000)],
    ),
    "Yahoo, volume before adjusted close": (
        "Date,Open,High,Low,Close,Volume,Adj Close\n2024-01-02,10,12.5,9,11.25,1000,11.1\n",
        "AAPL.csv",
        [bar(**OHLC, adj_close=11.1, volume=1000)],
    ),
    "Yahoo, adjusted close first": (
        "Date,Adj Close,Close,High,Low,Open,Volume\n2024-01-02,11.1,11.25,12.5,9,10,1000\n",
        "AAPL.csv",
        [bar(**OHLC, adj_close=11.1, volume=1000)],
    ),
    "yfinance": (
        "Price,Close,High,Low,Open,Volume\nTicker,MSFT,MSFT,MSFT,MSFT,MSFT\nDate,,,,,\n2024-01-02,11.25,12.5,9,10,1000\n",
        "prices.csv",
        [bar("MSFT", **OHLC, volume=1000)],
    ),
    "yfinance, grouped by ticker": (
        "Ticker,BRK-B,BRK-B\nPrice,Open,Close\nDate,,\n2024-01-02,10,11.25\n",
        "prices.csv",
        [bar("BRK.B", open=10.0, close=11.25)],
    ),
    "yfinance, unnamed levels": (
        ",Adj Close,Close\n,MSFT,MSFT\nDate,,\n2024-01-02 00:00:00-05:00,11.1,11.25\n",
        "prices.csv",
        [bar("MSFT", close=11.25, adj_close=11.1)],
    ),
    "yfinance history": (
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
        "2024-01-02 00:00:00-05:00,10,12.5,9,11.25,1000,0.0,0.0\n",
        "AAPL.csv",
        [bar(**OHLC, volume=1000)],
    ),
    "Kaggle": (
        "date,open,high,low,close,volume,Name\n2024-01-02,10,12.5,9,11.25,1000,AAL\n",
        "all_stocks_5yr.csv",
        [bar("AAL", **OHLC, volume=1000)],
    ),
    "Stooq": (
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "AAPL.US,D,20240102,000000,10,12.5,9,11.25,1000.5e1,0\n",
        "aapl.us.txt",
        [bar("AAPL.US", **OHLC, volume=10005)],
    ),
    "Stooq, one symbol": (
        "Date,Open,High,Low,Close,Volume\r\n2024-01-02,10,12.5,9,11.25,1000\r\n",
        "brk-b.us.csv",
        [bar("BRK-B.US", **OHLC, volume=1000)],
    ),
    "Stooq, in Polish": (
        "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\r\n2024-01-02,10,12.5,9,11.25,1000\r\n",
        "PKN.csv",
        [bar("PKN", **OHLC, volume=1000)],
    ),
    "Alpha Vantage": (
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n"
        "2024-01-03,10,12.5,9,11.25,11.1,1000,0.0000,1.0\n2024-01-02,10,12.5,9,11.25,11.1,900,0.0000,1.0\n",
        "daily_adjusted/IBM.csv",
        [
            bar("IBM", JAN3, **OHLC, adj_close=11.1, volume=1000),
            bar("IBM", JAN2, **OHLC, adj_close=11.1, volume=900),
        ],
    ),
    "Tiingo": (
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n"
        "2024-01-02T00:00:00.000Z,11.25,12.5,9,10,1000,5.6,6.2,4.5,5.0,2000,0.0,2.0\n",
        "symbol=AAPL/eod.csv",
        [bar(**OHLC, adj_close=5.6, volume=1000)],
    ),
    "Massive": (
        "ticker,volume,open,close,high,low,window_start,transactions\n"
        "AAPL,1000,10,11.25,12.5,9,1704171600000000000,77\nNA,5,10,11.25,12.5,9,1704171600000000000,1\n",
        "2024-01-02.csv.gz",
        [bar(**OHLC, volume=1000), bar("NA", **OHLC, volume=5)],
    ),
    "Nasdaq": (
        'Date,Close/Last,Volume,Open,High,Low\n01/02/2024,$11.25,"1,000",$10.00,$12.50,$9.00\n'
        '01/31/2024,$11.25,"4,787,699",$10.00,$12.50,$9.00\n',
        "AAPL.csv",
        [bar(**OHLC, volume=1000), bar(day=date(2024, 1, 31), **OHLC, volume=4787699)],
    ),
    "Quandl WIKI": (
        "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio,adj_open,adj_high,adj_low,adj_close,adj_volume\n"
        "A,1999-11-18,45.5,50.0,40.0,44.0,44739900.0,0.0,1.0,31.0,34.1,27.3,30.0,44739900.0\n",
        "WIKI_PRICES.csv",
        [
            bar("A", date(1999, 11, 18), open=45.5, high=50.0, low=40.0, close=44.0, adj_close=30.0, volume=44739900),
        ],
    ),
    "a spreadsheet in Europe": (
        "sep=;\nDate;Open;High;Low;Close;Volume\n02.01.2024;10,0;12,5;9,0;11,25;1.000\n13.01.2024;10;12,5;9;11,25;1000\n",
        "SAP.DE.csv",
        [bar("SAP.DE", **OHLC, volume=1000), bar("SAP.DE", date(2024, 1, 13), **OHLC, volume=1000)],
    ),
    "a pandas index without a name": (
        ",close\n2024-01-02,11.25\n",
        "AAPL.csv",
        [bar(close=11.25)],
    ),
    "row numbers before the columns": (
        ",date,close\n0,2024-01-02,11.25\n",
        "AAPL.csv",
        [bar(close=11.25)],
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_file_is_read(vendor):
    text, key, expected = VENDORS[vendor]
    assert good(text, key) == expected


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_separator_is_recognized(separator):
    text = "Ticker,Day,Last,Vol\nAAPL,2024-01-02,11.25,1000\n".replace(",", separator)
    assert good(text) == [bar(close=11.25, volume=1000)]


@pytest.mark.parametrize(
    "header",
    [
        "SYMBOL,Date,Close",
        "sym,day,close_price",
        "stock,timestamp,last",
        "instrument,time,price",
        '"<Ticker>"," DATE ","Close*"',
        "company,start date,Close/Last",
        "NAME,datetime,close price",
        "Symbol,trade_date,C.L.O.S.E",
    ],
)
def test_headers_are_compared_without_case_spaces_and_marks(header):
    assert good(f"{header}\nAAPL,2024-01-02,11.25\n", "x.csv") == [bar(close=11.25)]


def test_unadjusted_prices_are_the_values_even_where_the_adjusted_come_first():
    text = "date,adj_open,adj_close,open,close\n2024-01-02,5,5.6,10,11.25\n"
    assert good(text) == [bar(open=10.0, close=11.25, adj_close=5.6)]


def test_the_official_close_wins_over_the_last_trade_and_a_price():
    assert good("date,last,price,close\n2024-01-02,1,2,3\n") == [bar(close=3.0)]


def test_a_ticker_wins_over_the_name_of_the_company():
    assert good("name,ticker,date,close\nApple Inc.,AAPL,2024-01-02,3\n", "x.csv") == [bar(close=3.0)]


def test_names_of_companies_are_no_symbols():
    text = "date,close,Name\n2024-01-02,3,Apple Inc.\n"
    assert good(text, "AAPL.csv") == [bar(close=3.0)]
    assert "column 'Name' holds no tickers" in refusal(text, "apple.csv")


def test_a_time_beside_the_date_is_no_date():
    assert good("time,date,close\n16:00,2024-01-02,3\n13:00,2024-01-03,4\n") == [
        bar(close=3.0),
        bar(day=JAN3, close=4.0),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("AAPL,2024-01-02,10.5\nAAPL,2024-01-03,10.6\n", "no header: its first row is data"),
        ("2024-01-02,10.5\n", "no header"),
        ("Date,AAPL,MSFT,BRK.B\n2024-01-02,1,2,3\n", "wide table with one column a symbol ('AAPL', 'MSFT', 'BRK.B')"),
        (",AAPL,MSFT\n2024-01-02,1,2\n", "wide table"),
        ("symbol,date,open\nAAPL,2024-01-02,1\n", "no column for close among 'symbol', 'date', 'open'"),
        ("symbol,close\nAAPL,1\n", "no column for date"),
        ("alpha,beta\n1,2\n", "no column for date and close"),
        ("date,close,Close\n2024-01-02,1,2\n", "'close' and 'Close' could each be the close"),
        ("date,last,price\n2024-01-02,1,2\n", "'last' and 'price' could each be the close"),
        ("date,day,close\n2024-01-02,2024-01-02,2\n", "'date' and 'day' could each be the date"),
        ("ticker,symbol,date,close\nA,A,2024-01-02,2\n", "could each be the symbol"),
        (
            "Price,Close,Close\nTicker,AAPL,MSFT\nDate,,\n2024-01-02,1,2\n",
            "several symbols side by side ('AAPL', 'MSFT')",
        ),
        (
            ",close\n0,11.25\n1,12\n",
            "the first column, which has no name, does not hold dates; call the column of dates date",
        ),
        ("close,open\n", "no column for date"),
    ],
)
def test_a_table_of_another_kind_is_refused(text, says):
    assert says in refusal(text)


@pytest.mark.parametrize("text", ["symbol,close\nAAPL,1\n", "2024-01-02,10.5\n", "a,b\n1,2\n"])
def test_a_refusal_says_what_would_be_accepted(text):
    message = refusal(text)
    assert "accepted are a date (date, day, timestamp, …), a closing price (close, close_price" in message


STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<CLOSE>\n"


@pytest.mark.parametrize("period", ["5", "60", "W", "M", ""])
def test_bars_of_another_period_are_refused(period):
    message = refusal(f"{STOOQ}AAPL.US,D,20240102,000000,1\nAAPL.US,{period},20240103,000000,1\n")
    assert message.startswith(f"column '<PER>' holds {period!r}: only daily bars (D)")


@pytest.mark.parametrize(
    "rows",
    [
        "date,close\n2024-01-02 09:30:00,1\n2024-01-02 09:31:00,2\n",
        "date,time,close\n2024-01-02,09:30,1\n2024-01-02,09:31,2\n",
        "timestamp,close\n1704205800,1\n1704205860,2\n",
        "time,close\n1/2/2024 9:30 AM,1\n1/2/2024 9:30 PM,2\n",
        "date,close\n2024-01-02T09:30:00-05:00,1\nbad,1\n2024-01-02T09:31:00-05:00,2\n",
        "symbol,date,close\nB,2024-01-02T16:00,1\nA,2024-01-03T09:30,1\nB,2024-01-02T16:01,2\n",
    ],
)
def test_intraday_bars_are_refused(rows):
    message = refusal(rows)
    assert message.startswith("several bars a day (such as ")
    assert "daily prices have one row a symbol and day" in message


@pytest.mark.parametrize(
    "rows",
    [
        "date,close\n2024-01-02 16:00,1\n2024-01-02 16:00,1\n",  # the same row twice
        "date,close\n2024-01-02 16:00,1\n2024-01-02 16:00,2\n",  # a restatement: for the merge to judge
        "date,close\n2024-01-02,1\n2024-01-02,2\n",
        "date,close\n2024-01-02 16:00,1\n2024-01-03 13:00,2\n",  # a half day
        "symbol,date,close\nA,2024-01-02 16:00,1\nB,2024-01-02 13:00,2\n",
        "date,time,close\n2024-01-02,16:00,1\n2024-01-03,13:00,2\n",
    ],
)
def test_repeated_rows_are_no_intraday_bars(rows):
    assert len(bars(load(rows))) == 2


def test_times_beside_unreadable_dates_are_no_intraday_bars():
    assert rejects(load("date,time,close\nx,09:30,1\nx,09:31,2\n")) == [(2, "bad_date"), (3, "bad_date")]


def test_a_header_alone_is_a_table_without_rows():
    cleaned = load("symbol,date,close\n")
    assert (cleaned.rows, cleaned.good.num_rows) == (0, 0)
    assert load("Date,Close").rows == 0
    assert load(",Close\n").rows == 0


def test_columns_that_mean_nothing_here_are_ignored_even_twice():
    text = "note,date,note,close,transactions\nx,2024-01-02,y,11.25,nonsense\n"
    assert good(text) == [bar(close=11.25)]
