"""What comes from outside is shown in the UI as the text that it is, and obeyed by nothing there."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from stock_pipeline.orchestration.ui.markdown import literal, table
from stock_pipeline.orchestration.ui.metadata import receipts_metadata
from stock_pipeline.receipts import Receipt

TAGS = {"table", "thead", "tbody", "tr", "th", "td"}
HOSTILE = [
    "a|b", "a\\|b", "\\", "`x`", "``|``", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a\nb\r\nc",
    "|\n|---|\n|", "[x](javascript:alert(1))", "![x](http://x/y.png)", "<http://x>", "&lt;b&gt;", "*a* _b_ __c__ ~~d~~",
    "# x", "</td></table><b>", "&#124;", "[^1]", ":smile:", "$x$", "daily_prices/uploads/_x_/a_b.csv",
]  # fmt: skip


def cells(markdown: str) -> tuple[list[str], set[str]]:
    """The texts of a rendered table's cells, and every tag of the page."""
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    found = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    return [html.unescape(cell) for cell in found], set(re.findall(r"</?([a-zA-Z][\w-]*)", page))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_a_cell_with_that_text(text: str) -> None:
    shown, tags = cells(table(["source", "rows"], [[text, 1], ["after", 2]]))
    assert shown == [re.sub(r"[\r\n]+", " ", text).strip().replace("http:", "http:\u2060"), "1", "after", "2"]
    assert tags <= TAGS


@given(st.text(alphabet=st.one_of(st.sampled_from("|\\`<>&*_[]()!#~\"'\n\r\t :/.@a"), st.characters()), max_size=40))
def test_any_text_stays_one_cell_and_makes_no_tag(text: str) -> None:
    shown, tags = cells(table(["source", "rows"], [[text, 1], ["after", 2]]))
    assert shown[1:] == ["1", "after", "2"]
    assert tags <= TAGS
    assert re.sub(r"\W", "", shown[0]) == re.sub(r"\W", "", text)


@pytest.mark.parametrize("text", ["see https://evil.example/x", "www.evil.example", "HTTP://X", "me@evil.example"])
def test_an_address_is_no_link(text: str) -> None:
    """GFM makes links of these, after character references are read; a joiner without width is in the way."""
    shown = html.unescape(literal(text))
    assert not re.search(r"(?i)(https?://|www\.|\w@\w)", shown)
    assert shown.replace("\u2060", "") == text


def test_the_usual_key_is_left_as_it_is() -> None:
    key = "daily_prices/uploads/symbol=BRK.B/a-b_2024 (1).csv.gz"
    assert literal(key) == key


def test_receipts_of_hostile_keys_are_tables_of_text() -> None:
    key = "daily_prices/uploads/<img src=x onerror=alert(1)>|`'; DROP\n| x | 9 |.csv"
    reason = "column '<b>|x|</b>' holds no tickers"
    stored = Receipt(key, "e", "price_by_date", rows=1, inserted=1)
    metadata = receipts_metadata([stored, Receipt(key, "e", "price_by_date", refused=reason)])
    shown, tags = cells(str(metadata["refused"].value))
    assert shown == [key.replace("\n", " "), reason]
    shown, more = cells(str(metadata["receipts"].value))
    plain = key.replace("\n", " ")
    assert [shown[0], shown[len(shown) // 2]] == [plain, plain]
    assert set(shown) == {plain, "0", "1"}
    assert tags | more <= TAGS
