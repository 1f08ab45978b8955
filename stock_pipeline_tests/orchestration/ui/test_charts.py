"""The charts: small enough to be shown at once, true to their numbers, legible on light and dark, and safe to show."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.orchestration.ui import charts, metadata
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Reason

SVG = "{http://www.w3.org/2000/svg}"
THEMES = {"light": (255, 255, 255), "dark": (2, 6, 23)}
"""What the UI puts behind a chart, as screenshots of it show."""


def drawing(markdown: str | None) -> ElementTree.Element:
    """The drawing in a chart, after the checks that every chart must pass."""
    assert markdown is not None
    assert len(markdown) < charts.INLINE
    found = re.fullmatch(r"!\[[a-z ]+\]\(<data:image/svg\+xml,([^<>\n()\\]*)>\)", markdown)
    assert found, markdown
    root = ElementTree.fromstring(unquote(found[1]))
    assert {element.tag for element in root.iter()} <= {f"{SVG}{name}" for name in ("svg", "path", "text")}
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [str(element.text) for element in root.iter(f"{SVG}text")]


def bars(days: int, symbols: int, seed: int = 1) -> pa.Table:
    random = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.02, (symbols, days)), axis=1))
    dates = [date(2024, 1, 1) + timedelta(n) for n in range(days)]
    names = [f"S{n}" for n in range(symbols) for _ in range(days)]
    return pa.table({"symbol": names, "date": dates * symbols, "close": closes.ravel()})


@pytest.mark.parametrize(("days", "symbols"), [(1, 1), (2, 1), (252, 1), (1, 16), (252, 16), (366, 500)])
def test_prices_are_drawn_with_their_span(days: int, symbols: int) -> None:
    rows = bars(days, symbols)
    found = texts(drawing(charts.prices(rows, "date", "close")))
    assert found[0].startswith("S0: close" if symbols == 1 else f"{symbols} symbols, rebased to 100")
    assert found[1] == "2024-01-01"
    assert days == 1 or found[2] == str(date(2024, 1, 1) + timedelta(days - 1))


def test_the_line_goes_through_the_prices() -> None:
    rows = pa.table({"symbol": ["A"] * 3, "date": [date(2024, 1, n) for n in (1, 2, 3)], "close": [10.0, 30.0, 20.0]})
    root = drawing(charts.prices(rows, "date", "close"))
    (line,) = [p.get("d", "") for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "2"]
    heights = np.cumsum([int(n) for n in re.findall(r"-?\d+", line)[1::2]])
    top, bottom = heights.min(), heights.max()
    assert [round((bottom - y) / (bottom - top), 1) for y in heights] == [0.0, 1.0, 0.5]
    assert {"30", "10"} <= set(texts(root))


def test_only_what_was_written_is_underlined() -> None:
    rows = bars(200, 2)
    new = rows.filter(pa.array([day >= date(2024, 6, 1) for day in rows["date"].to_pylist()]))

    def underline(written: pa.Table | None) -> list[int]:
        root = drawing(charts.prices(rows, "date", "close", written))
        marks = [p.get("d", "") for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "4"]
        return [int(n) for n in re.findall(r"M(\d+)", "".join(marks))]

    assert underline(None) == [0]
    assert underline(rows.slice(0, 0)) == []
    (start,) = underline(new)
    assert start == pytest.approx(340 * 152 / 199, abs=20)


def test_ticks_are_drawn_by_their_time() -> None:
    at = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
    rows = pa.table(
        {
            "symbol": pa.array(["A", "A", "B"]).dictionary_encode(),
            "produced_at": pa.array([at, at + timedelta(seconds=90), at], pa.timestamp("us", "UTC")),
            "price": [1.0, 2.0, 9_000.0],
        }
    )
    found = texts(drawing(charts.prices(rows, "produced_at", "price")))
    assert found[1:3] == ["2024-06-03 13:30:00 UTC", "13:31:30"]


def test_there_is_no_chart_of_nothing() -> None:
    assert charts.prices(PRICE_BY_DATE.schema.empty_table(), "date", "close") is None
    assert charts.prices(STREAM_PRICES_HISTORY.schema.empty_table(), "produced_at", "price") is None
    assert charts.rejected({}) is None
    assert charts.rejected({"bad_date": 0}) is None
    assert charts.lags(np.zeros(0), "lag") is None
    assert charts.moves([], np.zeros(0)) is None


def test_prices_that_cannot_be_drawn_are_left_out() -> None:
    rows = pa.table(
        {
            "symbol": ["A", "A", "A"],
            "date": [date(2024, 1, n) for n in (1, 2, 3)],
            "close": [float("nan"), -1.0, 5.0],
        }
    )
    assert "5" in texts(drawing(charts.prices(rows, "date", "close")))
    assert charts.prices(rows.slice(0, 2), "date", "close") is None


def test_reasons_are_told_with_their_counts_most_first() -> None:
    every = {reason.value: n + 1 for n, reason in enumerate(Reason)}
    found = texts(drawing(charts.rejected(every)))[1:]
    top = sorted(((n, reason) for reason, n in every.items()), reverse=True)[:5]
    rest = sum(every.values()) - sum(n for n, _ in top)
    assert found == [*(f"{n:,} {reason}" for n, reason in top), f"{rest:,} others"]


def test_lags_are_counted_by_their_length() -> None:
    root = drawing(charts.lags(np.array([0.2, 3.0, 3.5, 400.0, -1.0]), "lag"))
    assert texts(root)[0] == "lag: median 3.0 s, longest 0:06:40"
    (path,) = [p.get("d", "") for p in root.iter(f"{SVG}path")]
    assert [int(n) for n in re.findall(r"v-(\d+)", path)] == [64, 64, 32]


def test_moves_name_the_extremes() -> None:
    found = texts(drawing(charts.moves(["A", "B", "C"], np.array([0.01, -0.02, 0.05]))))
    assert found == ["3 symbols, open to close", "B -2.0%", "C +5.0%"]


@given(
    st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=300),
    st.integers(1, 6),
    st.sampled_from(["A", "BRK.B", "^GSPC", "EURUSD=X", "S-1234567890.XYZ"]),
)
def test_every_chart_of_prices_fits(values: list[float], symbols: int, name: str) -> None:
    rows = pa.table(
        {
            "symbol": [f"{name[:12]}{n % symbols}" for n in range(len(values))],
            "date": [date(1970, 1, 1) + timedelta(n) for n in range(len(values))],
            "close": values,
        }
    )
    assert len(texts(drawing(charts.prices(rows, "date", "close")))) >= 3


@pytest.mark.parametrize("symbol", ["</text><script>x</script>", ")>\n\n[x](javascript:1)", "'\"&`|<img src=x>"])
def test_text_cannot_break_out_of_a_chart(symbol: str) -> None:
    """Symbols are checked before they are stored, so this is the second lock."""
    rows = pa.table({"symbol": [symbol], "date": [date(2024, 1, 2)], "close": [1.0]})
    assert texts(drawing(charts.prices(rows, "date", "close")))[0] == f"{symbol}: close; green: new"
    assert texts(drawing(charts.moves([symbol], np.array([0.1]))))[1] == f"{symbol} +10.0%"
    assert texts(drawing(charts.rejected({symbol: 1})))[1] == f"1 {symbol}"


@pytest.mark.parametrize("theme", THEMES)
def test_colours_are_legible_in_both_themes(theme: str) -> None:
    """3 : 1 is what WCAG asks of graphics and of large text."""
    for colour in (charts._TEXT, charts._LINE, charts._NEW, charts._BAD):
        assert contrast(tuple(bytes.fromhex(colour[1:])), THEMES[theme]) >= 3, colour


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    def luminance(colour: tuple[int, ...]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_chart_that_fails_is_told_and_fails_nothing_else() -> None:
    def draw(_: object) -> str:
        raise ZeroDivisionError("secret of a row")

    (value,) = metadata.chart("chart", draw, 1).values()
    assert value.value == "this chart could not be drawn (ZeroDivisionError)"
    assert metadata.chart("chart", lambda: None) == {}
