"""What a person sees of the board: every chart, at any width, in light, in dark and on paper, all from one host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline_tests.docs.test_docs import contrast
from stock_pipeline_tests.support.board import KEY, SETTINGS, SHORT, SYMBOLS, Running, board, fill, serving
from stock_pipeline_tests.support.browser import picture

__all__ = ["board"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound"),  # the panel says it itself
]

CHARTS = ("prices", "ticks", "completeness", "rejected", "lag")
WIDTHS = (400, 1280)
EMPTY = replace(SETTINGS, lake_bucket="empty")
Opener = Callable[..., Page]

# How wide the chart of prices is as it is printed, and in what colour its texts are.
NOTED = """addEventListener('beforeprint', () => {
    const chart = document.querySelector('#prices .main-svg');
    window.printed = [chart.clientWidth, getComputedStyle(chart.querySelector('.xtick text')).fill];
})"""


@pytest.fixture
def opened(board: Running, browser: Browser) -> Iterator[Opener]:
    """Opens the board, `opened(theme="dark", width=400)`. What the page asks for and complains of is in its lists."""
    contexts = []

    def open_(running: Running = board, *, theme: Any = "light", width: int = 1280, key: str = KEY) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce", timezone_id="UTC"
        )
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.asked, page.complaints = [], []  # type: ignore[attr-defined]
        page.on("request", lambda request: asked(page).append(request))
        page.on("pageerror", lambda error: complaints(page).append(str(error)))
        page.on("console", lambda said: complaints(page).append(said.text) if said.type == "error" else None)
        page.goto(f"{running.url}#{key}")
        return page

    expect.set_options(timeout=60_000)
    yield open_
    for context in contexts:
        context.close()


def asked(page: Page) -> list[Request]:
    found: list[Request] = page.asked  # type: ignore[attr-defined]
    return found


def complaints(page: Page) -> list[str]:
    found: list[str] = page.complaints  # type: ignore[attr-defined]
    return found


def drawn(page: Page, *panels: str) -> None:
    """Wait until the charts of some panels are drawn."""
    for panel in panels:
        expect(page.locator(f"#{panel} .js-plotly-plot .main-svg").first).to_be_visible()
        expect(page.locator(f"#{panel}[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_is_drawn_and_the_page_is_no_wider_than_the_window(
    opened: Opener, board: Running, width: int, theme: str, tmp_path: Path
) -> None:
    page = opened(theme=theme, width=width)
    drawn(page, *CHARTS)
    expect(page.locator("#latest tbody tr")).to_have_count(len(SYMBOLS))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for panel in CHARTS:
        box = page.locator(f"#{panel} .main-svg").first.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["width"] > width * 0.8
    assert page.locator("#prices .boxlayer path.box, #prices .candlesticklayer, #prices .boxes path").count() > 0
    assert page.locator("#completeness .hm image").count() == 1
    assert {urlsplit(request.url).netloc for request in asked(page)} == {urlsplit(board.url).netloc}
    assert complaints(page) == []
    assert KEY not in page.url
    if width == 1280:
        page.set_viewport_size({"width": width, "height": 1130})
        page.evaluate("scrollTo(0, 0)")
        picture(page, f"board-{theme}", tmp_path)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read_on_their_ground(opened: Opener, theme: str) -> None:
    page = opened(theme=theme)
    drawn(page, "prices")
    read = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()"
    colours = {
        name: page.evaluate(read, name) for name in ("ground", "card", "ink", "soft", "link", "up", "down", "line")
    }
    for ground in ("ground", "card"):
        assert contrast(colours["ink"], colours[ground]) > 7
        for name in ("soft", "link", "up", "down"):
            assert contrast(colours[name], colours[ground]) > 4.5
    shown = page.locator("#prices .xtick text").first.evaluate("text => getComputedStyle(text).fill")
    red, green, blue = (int(part) for part in shown.removeprefix("rgb(").removesuffix(")").split(","))
    assert contrast(f"#{red:02x}{green:02x}{blue:02x}", colours["card"]) > 7


def test_another_symbol_and_another_span_are_drawn(opened: Opener) -> None:
    page = opened()
    drawn(page, *CHARTS)
    page.get_by_role("combobox", name="Symbol").fill(SHORT.lower())
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#prices .caption")).to_contain_text(f"{SHORT}, 2024-06-03 to 2024-06-10")
    expect(page.locator("#ticks .empty")).to_contain_text(f"no tick of {SHORT}")
    page.get_by_role("button", name="MSFT").click()
    expect(page.locator("#prices .caption")).to_contain_text("MSFT, ")
    page.get_by_role("button", name="1 month").click()
    expect(page.locator("#prices .caption")).to_contain_text("MSFT, 2024-05-29 to 2024-06-28: 22 bars")
    page.get_by_role("button", name="All").click()
    expect(page.locator("#prices .caption")).to_contain_text("MSFT, 2023-07-03 to 2024-06-28")
    drawn(page, "prices", "ticks")


def test_no_button_sends_a_chart_away(opened: Opener) -> None:
    page = opened()
    drawn(page, *CHARTS)
    page.locator("#prices .main-svg").first.hover()
    titles = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(each => each.dataset.title)")
    assert "Zoom in" in titles
    assert [
        title for title in titles if any(word in title.lower() for word in ("share", "cloud", "upload", "edit"))
    ] == []
    assert page.locator("a[href^='http']").count() == 0


def test_a_new_trade_appears_by_itself(opened: Opener) -> None:
    fill(("AAPL",), date(2024, 6, 27), bucket="live")
    with serving(replace(SETTINGS, lake_bucket="live")) as running:
        page = opened(running)
        row = page.locator("#latest tbody tr").first
        expect(row).to_be_visible()
        now = datetime.now(UTC) - timedelta(seconds=1)
        tick = {"event_id": "new", "symbol": "AAPL", "price": 4321.5, "produced_at": now.isoformat()}
        S3Store("staging").put("stock_stream/new", json.dumps(tick).encode())
        ingest_ticks(["stock_stream/new"], staging=S3Store("staging"), lake=S3Store("live"))
        expect(row).to_contain_text("4,321.50")
        expect(row).to_contain_text("▲")


def test_paper_is_light_and_has_every_panel(opened: Opener) -> None:
    page = opened(theme="dark")
    drawn(page, *CHARTS)
    page.evaluate(NOTED)
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    width, ink = page.evaluate("window.printed")
    assert width == 680
    assert sum(int(part) for part in ink.removeprefix("rgb(").removesuffix(")").split(",")) < 200
    after = page.locator("#prices .xtick text").first.evaluate("text => getComputedStyle(text).fill")
    assert after != ink


@pytest.mark.parametrize("width", WIDTHS)
def test_an_empty_lake_is_said_with_the_commands_that_fill_it(opened: Opener, width: int) -> None:
    with serving(EMPTY) as running:
        page = opened(running, width=width)
        expect(page.locator("#overview")).to_contain_text("no prices and no ticks yet")
        expect(page.locator("#overview code").first).to_have_text("stock-pipeline demo")
        expect(page.locator("#latest .empty")).to_contain_text("no symbol yet")
        expect(page.locator("#rejected .empty")).to_contain_text("Nothing was rejected")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_the_key_the_page_says_what_to_open(opened: Opener) -> None:
    page = opened(key="")
    expect(page.locator("#place")).to_contain_text("open the address that `stock-pipeline board` printed")


def test_a_page_that_is_loaded_again_still_has_its_key(opened: Opener) -> None:
    page = opened()
    drawn(page, "prices")
    page.reload()
    drawn(page, "prices")


def test_the_address_of_a_later_start_brings_its_key_into_the_open_tab(opened: Opener, board: Running) -> None:
    page = opened(key="a-key-of-an-earlier-start-that-is-over")
    expect(page.locator("#place")).to_contain_text("its key is new at each start")
    page.goto(f"{board.url}#{KEY}")
    drawn(page, "prices")


def test_the_page_of_a_board_that_has_ended_says_so(opened: Opener) -> None:
    with serving(EMPTY) as running:
        page = opened(running)
        expect(page.locator("#latest .empty")).to_be_visible()
    expect(page.locator("#latest .error")).to_contain_text("The board does not answer")
