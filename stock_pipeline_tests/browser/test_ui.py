"""What a person sees and does in the UI of `stock-pipeline dev`, from an empty home on: one story, in order.

A range is backfilled and a year materialized from the dialogs; ticks arrive; the graph shows everything there is; a
file that is dropped becomes rows, and its bad rows fail a check; charts and column schemas are drawn, in the light
theme and in the dark one; sensors run; operations have a form with their defaults.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from stock_pipeline.cli.demo.daily import SAMPLE
from stock_pipeline.definitions import defs
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline_tests.support.browser import Dev, Opener, count_shown, is_drawn, picture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("dagster")]

GROUPS = ("batch", "stream", "quality")
EXPANDED = "/asset-groups?expanded=" + "%2C".join(f"global%40global%3A{group}" for group in GROUPS)
SESSIONS = 60
TICKS = 3_000


def test_a_backfill_of_a_range_completes_and_the_sensor_brings_it_into_the_table(
    dev: Dev, at: Opener, tmp_path: Path
) -> None:
    keys = list(dev.dagster.partitions("raw_daily_prices"))[-SESSIONS:]
    page = at("/assets/raw_daily_prices?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.locator(".dagster-dialog")
    dialog.get_by_text("Partition selection").wait_for()
    ranges = dialog.locator("input[type=text]").first
    ranges.fill(f"[{keys[0]}...{keys[-1]}]")
    ranges.press("Enter")
    expect(dialog.get_by_text(f"{SESSIONS} partitions").first).to_be_visible()
    dialog.get_by_role("button", name="Launch backfill").click()
    assert dev.materialized("raw_daily_prices", *keys)
    backfill = dev.backfill()
    page.goto(f"{dev.url}/runs/b/{backfill}")
    expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
    assert dev.materialized("price_by_date", keys[-1][:4])
    page.goto(f"{dev.url}/assets/price_by_date?view=partitions&partition={keys[-1][:4]}")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    assert is_drawn(page.get_by_alt_text("prices"))
    assert count_shown(page, "symbols") == len(DEFAULT_SYMBOLS)
    picture(page, "year", tmp_path)


def test_materializing_a_partition_turns_it_green(dev: Dev, at: Opener) -> None:
    page = at("/assets/price_by_date?view=partitions&partition=2019")
    expect(page.get_by_text("No metadata entries")).to_be_visible()
    page.get_by_role("button", name="Materialize").first.click()
    page.locator(".dagster-dialog").get_by_role("button", name="Launch 1 run").click()
    assert dev.materialized("price_by_date", "2019")
    page.goto(f"{dev.url}/assets/price_by_date?view=partitions&partition=2019")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()


def test_ticks_that_arrive_are_drawn_in_their_day(dev: Dev, at: Opener, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    day = ticks_from(dev, now)
    assert dev.materialized("stream_prices_history", day)
    page = at(f"/assets/stream_prices_history?view=partitions&partition={day}", height=1120)
    for name in ("prices", "lags", "rejected by reason"):
        assert is_drawn(page.get_by_alt_text(name))
    assert count_shown(page, "inserted") == TICKS
    picture(page, "stream-day", tmp_path)


def ticks_from(dev: Dev, end: datetime) -> str:
    """Drop an object of a day's last minutes of ticks, some of them broken, as Firehose does; returns the day."""
    random = np.random.default_rng(7)
    times = np.sort(random.uniform(2, min(900, end.minute * 60 + end.second + 60), TICKS))[::-1]
    times = np.minimum(times, (end - end.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds())
    prices = dict.fromkeys(DEFAULT_SYMBOLS, 100.0)
    lines = []
    for n, before in enumerate(times):
        symbol = DEFAULT_SYMBOLS[n % len(DEFAULT_SYMBOLS)]
        prices[symbol] *= float(np.exp(random.normal(0.0001, 0.002)))
        at = end - timedelta(seconds=float(before))
        tick = {"event_id": f"e{n}", "symbol": symbol, "price": round(prices[symbol], 2), "produced_at": at.isoformat()}
        lines.append(json.dumps(tick))
    lines += ['{"broken', *(json.dumps({"symbol": "AAPL", "produced_at": end.isoformat()}) for _ in range(3))]
    dev.staging.put(f"stock_stream/{end:%Y/%m/%d/%H}/ticks", "\n".join(lines).encode())
    return end.date().isoformat()


def test_the_graph_shows_every_asset_in_its_group(at: Opener, tmp_path: Path) -> None:
    page = at(EXPANDED, width=2000, height=1340)
    page.get_by_role("button", name="Hide navigation").click()
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        expect(page.get_by_text(key.path[-1], exact=True).first).to_be_visible()
    for group in GROUPS:
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    picture(page, "graph", tmp_path)


def test_a_dropped_file_appears_as_rows(dev: Dev, at: Opener, tmp_path: Path) -> None:
    page = at("/assets/price_by_date?view=partitions&partition=2024", height=1180)
    expect(page.get_by_text("No metadata entries")).to_be_visible()
    dev.staging.put("daily_prices/uploads/ACME.csv", SAMPLE.read_bytes())
    assert dev.materialized("price_by_date", "2024")
    page.reload()
    assert count_shown(page, "dagster/row_count") == 5
    assert (count_shown(page, "duplicates"), count_shown(page, "conflicts"), count_shown(page, "rejected")) == (1, 0, 6)
    assert is_drawn(page.get_by_alt_text("rejected by reason"))
    picture(page, "dropped-file", tmp_path)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_columns_and_charts_are_shown_on_the_overview(at: Opener, theme: str, tmp_path: Path) -> None:
    page = at("/assets/latest_prices", theme=theme, height=1300)
    expect(page.get_by_text("(symbol) is unique")).to_be_visible()
    expect(page.get_by_text("stream_prices_history: price", exact=True)).to_be_visible()
    image = page.get_by_alt_text("lags")
    image.scroll_into_view_if_needed()
    assert is_drawn(image)
    picture(page, f"snapshot-{theme}", tmp_path)


def test_checks_tell_what_they_found(dev: Dev, at: Opener, tmp_path: Path) -> None:
    page = at("/assets/price_by_date?view=checks&checkDetail=rejected_share")
    for check in ("keys_unique", "ohlc_consistent", "price_steps", "rejected_share", "sessions_complete"):
        expect(page.get_by_text(check, exact=True).first).to_be_visible()
    expect(page.get_by_text("rejected_percent", exact=True).first).to_be_visible()
    expect(page.get_by_text("2024: 6 of 11 rows were rejected").first).to_be_visible()
    expect(page.get_by_text("daily_prices/uploads/ACME.csv").first).to_be_visible()
    picture(page, "checks", tmp_path)


def test_sensors_and_schedules_run(at: Opener, tmp_path: Path) -> None:
    page = at("/automation", height=620)
    names = [each.name for each in [*(defs.sensors or ()), *(defs.schedules or ())]]
    for name in names:
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(len(names))  # the switches; no row is selected
    picture(page, "automation", tmp_path)


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ("backfill_daily_prices", "start: "),
        ("rebuild_year", "dry_run: "),
        ("replay_rejects", "reasons: "),
    ],
)
def test_an_operation_is_launched_from_a_form_with_its_defaults(at: Opener, job: str, field: str) -> None:
    page = at(f"/locations/stock_pipeline/jobs/{job}/playground")
    expect(page.get_by_text(field.strip(), exact=False).first).to_be_visible()
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.get_by_role("button", name="Launch Run")).to_be_enabled()
