"""Laws of meaning: the order of the rows says nothing, a row changes no other silently, no value is lost silently."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import FileRefused
from stock_pipeline_tests.support.daily_files import load

DAYS = st.integers(0, 40).map(lambda n: date(2023, 12, 25) + timedelta(n))
DATE_FORMS = [
    "%Y-%m-%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%y",
    "%y-%m-%d",
    "%d %b %Y",
    "%Y-%m-%dT00:00:00Z",
    "ny",
    "utc",
    "tokyo",
]
SECONDS = {"utc": 0, "ny": 5 * 3600, "tokyo": -9 * 3600}
PRICE_FORMS = ["{:.2f}", "{:.3f}", "{:.4f}", "{:.0f}", "${:,.2f}", "{:,.3f}"]
VOLUMES = ["", "100", "1,234", "1.234", "12.5K", "-1", "x", "7.5", "9007199254740993"]
HEADER = ["symbol", "date", "open", "close", "volume"]


def shown(day, form):
    if form in SECONDS:
        return str((day - date(1970, 1, 1)).days * 86400 + SECONDS[form])
    return day.strftime(form)


def priced(value, form, comma):
    text = form.format(value)
    return text.translate(str.maketrans(",.", ".,")) if comma else text


@st.composite
def rows(draw, forms=None):
    """A row of cells, its date and prices written in given forms or in any."""
    date_form, price_form, comma = forms or (
        draw(st.sampled_from(DATE_FORMS)),
        draw(st.sampled_from(PRICE_FORMS)),
        draw(st.booleans()),
    )
    value = draw(st.integers(1, 2_000_000)) / 1000
    open_ = draw(st.sampled_from(["", "0", "x", priced(value, price_form, comma)]))
    return (
        draw(st.sampled_from(["AAPL", "aapl", "BCpC", "VOD.L", "7203.T", ""])),
        shown(draw(DAYS), date_form),
        open_,
        priced(value, price_form, comma),
        draw(st.sampled_from(VOLUMES)),
    )


@st.composite
def files(draw):
    """Rows that are written alike, as those of one vendor are, and the separator between their columns."""
    forms = draw(st.tuples(st.sampled_from(DATE_FORMS), st.sampled_from(PRICE_FORMS), st.booleans()))
    return draw(st.lists(rows(forms), min_size=1, max_size=6)), draw(st.sampled_from([",", ";"]))


def text_of(cells, separator):
    quoted = ([f'"{cell}"' if separator in cell or "," in cell else cell for cell in row] for row in [HEADER, *cells])
    return "\n".join(map(separator.join, quoted))


def read(cells, separator):
    """The bar of each row (None: rejected), by its cells; and what was read, or None when the file is refused."""
    try:
        cleaned = load(text_of(cells, separator))
    except FileRefused:
        return {}, None
    bars = dict.fromkeys(cells)
    for line, bar in zip(cleaned.lines.tolist(), cleaned.good.to_pylist(), strict=True):
        bars[cells[line - 2]] = bar
    return bars, cleaned


@given(files(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_says_nothing(file, random):
    cells, separator = file
    bars, cleaned = read(cells, separator)
    others, again = read(random.sample(cells, len(cells)), separator)
    assert bars == others
    assert (cleaned is None) == (again is None)
    if cleaned and again:
        assert (cleaned.decided, cleaned.nulled, cleaned.unread) == (again.decided, again.nulled, again.unread)
        assert sorted(cleaned.rejected["reason"].to_pylist()) == sorted(again.rejected["reason"].to_pylist())


@settings(max_examples=300)
@given(files(), rows(), st.integers(0, 6))
def test_a_row_more_changes_no_other_one_silently(file, row, at):
    cells, separator = file
    bars, cleaned = read(cells, separator)
    others, again = read([*cells[:at], row, *cells[at:]], separator)
    if cleaned is None or again is None:
        return  # refused, with words
    for key, bar in bars.items():
        other = others[key]
        if bar is None or other is None:
            continue  # it is on record, before or now
        assert (bar["symbol"], bar["date"]) == (other["symbol"], other["date"])
        if cleaned.decided.get("decimal") != again.decided.get("decimal"):
            continue  # the receipt says so
        assert bar["close"] == other["close"]
        assert all(bar[f] in (other[f], None) for f in ("open", "volume"))  # a blank is filled by an equal line


@given(files())
def test_every_optional_value_is_stored_or_missing_or_on_record(file):
    cells, separator = file
    bars, cleaned = read(cells, separator)
    if cleaned is None:
        return
    noted = {cells[note["line"] - 2]: note["detail"] for note in cleaned.notes.to_pylist()}
    rejected = {cells[row["line"] - 2] for row in cleaned.rejected.to_pylist()}
    for row, bar in bars.items():
        assert (bar is None) == (row in rejected)
        for field, cell in zip(("open", "volume"), (row[2], row[4]), strict=True):
            if bar is None:
                continue
            said = field in noted.get(row, "")
            assert said or (cell == "" if bar[field] is None else True), (row, bar)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Name,date,close\nApple,2024-01-02,1\n", "MSFT,2024-01-03,2\n"),
        ("symbol,series,date,close\nPQR,N2,2024-01-02,1\n", "PQR,Series A,2024-01-03,2\n"),
        ("TckrSymb,SctySrs,Src,TradDt,ClsPric\nPQR,A,BSE,2024-01-02,1\n", "PQR,EQ,NSE,2024-01-03,2\n"),
        ("symbol,date,close\nA,1704153600,1\n", "A,1704205800,2\n"),
        ("symbol,expiry,date,close\nA,,2024-01-02,1\n", "A,2024-12-26,2024-01-03,2\n"),
        ("date,close\n02/01/2023,1\n03/01/2023,1\n", "01/31/2023,2\n"),
        ('date,close\n2024-01-02,"1,234.50"\n2024-01-03,"1,234"\n', '2024-01-04,"1,5"\n'),
    ],
)
def test_a_row_of_another_kind_refuses_the_file_or_is_on_record_with_what_it_makes_unclear(first, second):
    before = load(first).good.to_pylist()
    try:
        cleaned = load(first + second)
    except FileRefused:
        return
    assert cleaned.rejected.num_rows
    stored = cleaned.good.to_pylist()
    assert all(bar in before or bar["date"] != before[0]["date"] for bar in stored)
