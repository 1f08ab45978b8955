"""`stock-pipeline layout`: shows the layout of history, changes it from a day on, and refuses with the remedy."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.doctor import lake_checks
from stock_pipeline.lake.layout import Section
from stock_pipeline.lake.layout_object import LAYOUT_KEY, layout_to_write, stored_layout
from stock_pipeline.lake.parquet import encode
from stock_pipeline.schemas import LATEST_PRICES
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.commands import LAKE, Run

TODAY = datetime.now(UTC).date()
SOON = TODAY + timedelta(days=40)


@pytest.fixture
def lake(aws: None) -> S3Store:
    return S3Store(LAKE)


def test_it_shows_what_a_lake_without_ticks_will_have_and_writes_nothing(run: Run, lake: S3Store) -> None:
    done = run("layout")
    assert done.exit_code == 0, done.stderr
    assert "the beginning" in done.stdout
    assert "60" in done.stdout
    assert "whoever stores the first tick writes this one" in done.stderr
    assert list(lake.list("")) == []


def test_a_change_holds_from_its_day_on_and_keeps_what_is_not_given(run: Run, lake: S3Store) -> None:
    layout_to_write(lake, TODAY)
    done = run("layout", "--shards", "4", "--from", str(SOON))
    assert done.exit_code == 0, done.stderr
    assert "ahead, in 40 days" in done.stdout
    assert "in force" in done.stdout
    assert f"days before {TODAY + timedelta(days=1)} (UTC) have their place" in done.stderr
    run("layout", "--minutes", "5", "--from", str(SOON + timedelta(days=1)))
    found, _ = stored_layout(S3Store(LAKE))
    assert found is not None
    assert found.sections[1:] == (Section(SOON, 60, 4), Section(SOON + timedelta(days=1), 5, 4))


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--minutes", "7", "--from", "2099-01-01"], 1, "do not divide a day"),
        (["--minutes", "5", "--from", str(TODAY)], 1, "has begun"),
        (["--minutes", "5"], 1, "--from DAY"),
        (["--from", "2099-01-01"], 2, "--minutes, --shards or both"),
        (["--shards", "101", "--from", "2099-01-01"], 2, "100"),
        (["--minutes", "5", "--from", "next week"], 2, "2024-01-31"),
    ],
)
def test_a_wrong_change_is_refused_with_the_remedy(
    run: Run, lake: S3Store, options: list[str], status: int, told: str
) -> None:
    layout_to_write(lake, TODAY)
    before = lake.get(LAYOUT_KEY).data
    done = run("layout", *options)
    assert done.exit_code == status
    assert told in done.stderr
    assert S3Store(LAKE).get(LAYOUT_KEY).data == before


def test_the_first_layout_of_a_lake_can_be_said(run: Run, lake: S3Store) -> None:
    assert run("layout", "--minutes", "15").exit_code == 0
    assert json.loads(lake.get(LAYOUT_KEY).data)["sections"] == [{"from": "0001-01-01", "minutes": 15, "shards": 1}]


def test_a_layout_of_the_past_is_shown_as_such(run: Run, lake: S3Store) -> None:
    layout_to_write(lake, date(2020, 1, 1))
    layout = json.loads(lake.get(LAYOUT_KEY).data)
    layout["sections"].append({"from": "2020-06-01", "minutes": 5, "shards": 2})
    lake.put(LAYOUT_KEY, json.dumps(layout).encode())
    done = run("layout")
    assert "past" in done.stdout
    assert "576" in done.stdout


class TestDoctor:
    SETTINGS = Settings(lake_bucket=LAKE, sql_engine="duckdb")

    def test_a_sound_lake(self, lake: S3Store) -> None:
        layout_to_write(lake, TODAY)
        (layout,) = lake_checks.layout(self.SETTINGS)
        (objects,) = lake_checks.objects(self.SETTINGS)
        assert (layout.state, objects.state, list(lake_checks.clock(self.SETTINGS))) == ("ok", "ok", [])
        assert "holds 60 minutes, in 1 shard" in layout.what

    def test_a_damaged_layout(self, lake: S3Store) -> None:
        lake.put(LAYOUT_KEY, b"{")
        (layout,) = lake_checks.layout(self.SETTINGS)
        assert layout.state == "broken"
        assert LAYOUT_KEY in layout.what

    def test_foreign_and_damaged_objects_each_with_its_remedy(self, lake: S3Store) -> None:
        for number in range(22):
            lake.put(f"price_by_date/year=2024/part-{number:05}.parquet", b"x")
        lake.put("price_by_date/year=2023/prices.parquet", b"")
        lake.put("price_by_date/year=2022/prices.parquet", encode(LATEST_PRICES.schema.empty_table(), LATEST_PRICES))
        found = list(lake_checks.objects(self.SETTINGS))
        assert [diagnosis.check for diagnosis in found].count("foreign object") == 20
        damaged = {diagnosis.what: diagnosis.remedy for diagnosis in found if diagnosis.check == "damaged object"}
        assert any("stock-pipeline restore price_by_date year=2023" in remedy for remedy in damaged.values())
        assert "price_by_date/year=2022/prices.parquet" in damaged
        assert found[-1].what == "2 more"

    def test_prices_ahead_of_the_clock_and_a_damaged_snapshot(self, lake: S3Store) -> None:
        at = datetime.now(UTC) + timedelta(days=1)
        row = {"symbol": "AAPL", "price": 1.0, "produced_at": at, "event_id": "e", "etl_loading_ts": at}
        lake.put(
            "latest_stream_prices/latest.parquet",
            encode(pa.Table.from_pylist([row], LATEST_PRICES.schema), LATEST_PRICES),
        )
        (found,) = lake_checks.clock(self.SETTINGS)
        assert (found.state, "1 symbol in latest_prices" in found.what) == ("broken", True)
        assert "stock-pipeline remove --source KEY" in found.remedy
        lake.put("latest_stream_prices/latest.parquet", b"")
        assert list(lake_checks.clock(self.SETTINGS)) == []
