"""`doctor` on the years that Athena looks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from stock_pipeline.cli.doctor import lake_checks
from stock_pipeline.lake.transforms import bucket_partition
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena, on_loopback
from stock_pipeline_tests.support.small_lake import glue_table, put

ON_ATHENA = Settings(lake_bucket="lake", sql_engine="athena")
NOW = datetime.now(UTC).year


@pytest.fixture(scope="module")
def loopback() -> Iterator[FakeAthena]:
    with on_loopback() as service:
        yield service


@pytest.mark.parametrize(
    ("first", "last", "lake", "state", "what", "remedy"),
    [
        (-2, 2, (-1, 0), "ok", "Athena looks for ticks of", ""),
        (-2, 2, (-9, 0), "broken", f"the lake also has {NOW - 9}", f"TickYears={NOW - 9},{NOW + 2}"),
        (-4, 0, (0,), "note", "and no later", f"TickYears={NOW - 2},{NOW + 2}"),
        (-30, 30, (), "note", "lists 22,692 folders", f"TickYears={NOW - 2},{NOW + 2}"),
    ],
)
def test_what_does_not_fit_is_named_with_the_years_that_do(
    loopback: FakeAthena, first: int, last: int, lake: tuple[int, ...], state: str, what: str, remedy: str
) -> None:
    loopback.reset()
    glue_table(HISTORY, "lake", (NOW + first, NOW + last))
    for year in lake:
        put(HISTORY, bucket_partition(datetime(NOW + year, 3, 3, tzinfo=UTC)), [])
    (found,) = lake_checks.years(ON_ATHENA)
    assert found.state == state
    assert what in found.what
    assert remedy in found.remedy


def test_without_athena_or_its_table_there_is_nothing_to_say(loopback: FakeAthena) -> None:
    loopback.reset()
    assert list(lake_checks.years(ON_ATHENA)) == []
    assert list(lake_checks.years(Settings(lake_bucket="lake", sql_engine="duckdb"))) == []
