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
    "NSE": (
        "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n"
        "PQR,EQ,10,12.5,9,11.25,11.2,10,1000,1,02-JAN-2024,9,INE0,\n",
        "cm02JAN2024bhav.csv",
        [bar("PQR", **OHLC, volume=1000)],
    ),
    "NSE, with deliveries": (
        "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE,"
        " TTL_TRD_QNTY, TURNOVER_LACS\nPQR, EQ, 02-Jan-2024, 10, 10, 12.5, 9, 11.2, 11.25, 11, 1000, 1\n",
        "sec_bhavdata_full.csv",
        [bar("PQR", **OHLC, volume=1000)],
    ),
    "NSE, one share": (
        '"Date ","series ","OPEN ","HIGH ","LOW ","PREV. CLOSE ","ltp ","close ","VOLUME "\n'
        '"02-Jan-2024","EQ","12,34,567.50","12,34,569.00","12,34,560.00","1.00","1.50","12,34,568.25","12,34,567"\n',
        "PQR.csv",
        [bar("PQR", open=1234567.5, high=1234569.0, low=1234560.0, close=1234568.25, volume=1234567)],
    ),
    "UDiFF of BSE, whose groups are no series": (
        "TradDt,BizDt,Src,TckrSymb,SctySrs,XpryDt,StrkPric,OptnTp,OpnPric,HghPric,LwPric,ClsPric,TtlTradgVol\n"
        "2024-01-02,2024-01-02,BSE,PQR,A,,,,10,12.5,9,11.25,1000\n",
        "bse.csv",
        [bar("PQR", **OHLC, volume=1000)],
    ),
    "BSE": (
        "Date,Open Price,High Price,Low Price,Close Price,WAP,No.of Shares,No. of Trades\n"
        "2-January-2024,10,12.5,9,11.25,11,1000,5\n",
        "PQR.csv",
        [bar("PQR", **OHLC, volume=1000)],
    ),
    "Dukascopy": (
        "Gmt time,Open,High,Low,Close,Volume\n13.01.2024 00:00:00.000,10,12.5,9,11.25,1000.25\n",
        "EURUSD.csv",
        [bar("EURUSD", date(2024, 1, 13), **OHLC, volume=1000.25)],
    ),
    "Nasdaq Nordic": (
        "sep=;\nDate;Bid;Ask;Opening price;High price;Low price;Closing price;Average price;Total volume;Turnover;\n"
        "2024-01-02;1;1;10;12.5;9;11.25;11;1,000;1,234.5;\n",
        "VOLV.csv",
        [bar("VOLV", **OHLC, volume=1000)],
    ),
    "Bloomberg": (
        "Security,AAPL US Equity,,\nStart Date,1/2/2024,,\n,,,\nDate,PX_LAST,PX_OPEN,PX_VOLUME\n"
        "1/31/2024,11.25,10,1000\n",
        "AAPL.csv",
        [bar(day=date(2024, 1, 31), open=10.0, close=11.25, volume=1000)],
    ),
    "Moscow": (
        "history\n\nBOARDID;TRADEDATE;SECID;OPEN;LOW;HIGH;LEGALCLOSEPRICE;CLOSE;VOLUME\n"
        "TQBR;2024-01-02;ABCD;10;9;12.5;11.2;11.25;1000\n",
        "history.csv",
        [bar("ABCD", **OHLC, volume=1000)],
    ),
    "Investing.com in German": (
        '\ufeff"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"\n'
        '"31.01.2024","1.011,25","1.010,00","1.012,50","999,50","1,25M","0,5%"\n',
        "ABC.csv",
        [bar("ABC", date(2024, 1, 31), open=1010.0, high=1012.5, low=999.5, close=1011.25, volume=1250000)],
    ),
    "tushare, in lots": (
        "ts_code,trade_date,open,high,low,close,pre_close,vol,amount\n600000.SH,20240102,10,12.5,9,11.25,10,10.05,1\n",
        "daily.csv",
        [bar("600000.SH", **OHLC, volume=1005)],
    ),
    "Sharadar": (
        "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated\n"
        "AAPL,2024-01-02,10,12.5,9,11.25,1000,5.6,22.5,2024-01-03\n",
        "SEP.csv",
        [bar(**OHLC, adj_close=5.6, volume=1000)],
    ),
    "Yahoo's page, copied": (
        "Date,Open,Close  Close price adjusted for splits.,Adj Close  Adjusted close price adjusted for splits and "
        'dividend and/or capital gain distributions.\n"Jan 2, 2024",10,11.25,11.1\n',
        "AAPL.csv",
        [bar(open=10.0, close=11.25, adj_close=11.1)],
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


def test_a_header_alone_is_a_table_without_rows():
    cleaned = load("symbol,date,close\n")
    assert (cleaned.rows, cleaned.good.num_rows) == (0, 0)
    assert load("Date,Close").rows == 0
    assert load(",Close\n").rows == 0


def test_columns_that_nobody_reads_are_named_once_without_outer_blanks():
    text = ",note,date, note ,close,transactions\n0,x,2024-01-02,y,11.25,nonsense\n"
    assert good(text) == [bar(close=11.25)]
    assert load(text).unread == ("note", "transactions")


def test_two_columns_for_an_optional_field_are_left_out_and_named():
    cleaned = load("date,close,volume,vol,open\n2024-01-02,11.25,5,6,11\n")
    assert bars(cleaned) == [bar(open=11.0, close=11.25)]
    assert cleaned.unread == ("volume", "vol")


class TestLinesBeforeTheHeader:
    def test_they_are_skipped_and_counted(self):
        cleaned = load('https://www.example.com\n\n"A title, with a comma"\ndate,close\n2024-01-02,11.25\nx,1\n')
        assert bars(cleaned) == [bar(close=11.25)]
        assert (cleaned.skipped, cleaned.rows, cleaned.lines.tolist(), rejects(cleaned)) == (
            2,
            4,
            [5],
            [(6, "bad_date")],
        )

    def test_they_tell_nothing_of_the_separator(self):
        assert good("Prices; in euro, delayed; see the note\nDate\tClose\n2024-01-02\t11.25\n") == [bar(close=11.25)]

    @pytest.mark.parametrize("lines", [19, 20])
    def test_the_header_is_one_of_twenty_lines(self, lines):
        text = "a note\n" * lines + "date,close\n2024-01-02,11.25\n"
        if lines < 20:
            assert load(text).skipped == lines
        else:
            assert "has one column only" in refusal(text)

    def test_rows_of_data_are_none_of_them(self):
        message = refusal("2024-01-01,1\n2024-01-02,2\ndate,close\n2024-01-03,3\n")
        assert message == "line 1 looks like a row of data, but the header comes after it; put the header first"


class TestTwoLevels:
    """yfinance's tables, as pandas writes and rewrites them."""

    @pytest.mark.parametrize(
        ("text", "unread"),
        [
            ("Price,Open,Close\nTicker,ABC,ABC\nDate,,\n2024-01-02,10,11.25\n", ()),
            ("Price,Date,Open,Close\nTicker,,ABC,ABC\n0,2024-01-02,10,11.25\n", ("Price",)),
            ("Date,Open,Close\n,ABC,ABC\n2024-01-02,10,11.25\n", ()),
            (",Open,Close\n,ABC,ABC\n2024-01-02,10,11.25\n", ()),
            ("Price,Open,Close,RSI\nTicker,ABC,ABC,\nDate,,,\n2024-01-02,10,11.25,50\n", ("RSI",)),
            ("Ticker,ABC,ABC,RSI\nPrice,Open,Close,\nDate,,,\n2024-01-02,10,11.25,50\n", ("RSI",)),
        ],
    )
    def test_they_are_read(self, text, unread):
        assert good(text, "prices.csv") == [bar("ABC", open=10.0, close=11.25)]
        assert set(load(text, "prices.csv").unread) <= {*unread, "Price"}
        assert set(unread) - {"Price"} <= set(load(text, "prices.csv").unread)

    @pytest.mark.parametrize(
        "text",
        [
            "Price,Close,Close\nTicker,ABC,DEF\nDate,,\n2024-01-02,1,2\n",
            "Date,Close,Close\n,ABC,DEF\n2024-01-02,1,2\n",
            ",ABC,DEF\n,Open,Close\n2024-01-02,1,2\n",
            "Date,Close,Close.1\n,ABC,DEF\n2024-01-02,1,2\n",
            "Date,Close,Close.1,Open,Open.1\n2024-01-02,1,2,3,4\n",
        ],
    )
    def test_two_symbols_are_never_one(self, text):
        assert "several symbols side by side" in refusal(text, symbol="ABC")

    def test_a_symbol_that_the_header_contradicts_refuses_the_file(self):
        text = "Price,Close\nTicker,ABC\nDate,\n2024-01-02,1\n"
        assert "'DEF' was given as the symbol, but the header says 'ABC'" in refusal(text, symbol="DEF")
        assert good(text, symbol="abc") == [bar("ABC", close=1.0)]

    def test_a_first_row_without_a_date_is_no_row_of_tickers(self):
        assert rejects(load("Date,Open,Close\n,10,11\n2024-01-02,10,11\n")) == [(2, "missing_date")]
        assert rejects(load("Date,Open,Close\n,NA,NA\n2024-01-02,10,11\n")) == [(2, "missing_date")]
