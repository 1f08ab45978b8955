"""The names of partitions: what a name was made of is read from it again, and no other text is taken for one."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.lake.transforms import bucket_partition, day_of, year_of, year_partition


@given(st.integers(1, 9999))
def test_a_year_is_read_from_the_name_of_its_partition(year: int) -> None:
    assert year_of(year_partition(year)) == year


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_day_is_read_from_the_name_of_its_partitions(start: datetime) -> None:
    assert day_of(bucket_partition(start)) == start.date()


def test_how_partitions_are_named() -> None:
    assert year_partition(2024) == "year=2024"
    assert bucket_partition(datetime(2024, 6, 3, 14, 5, tzinfo=UTC)) == "year=2024/month=06/day=03/1405"
    assert day_of("year=2024/month=06/day=03/1405") == date(2024, 6, 3)


@pytest.mark.parametrize(
    "name", ["", "2024", "year=24", "year=20244", "year=\u0662024", "latest", "year=2024/month=06", "year=2024\n"]
)
def test_no_other_text_names_a_year(name: str) -> None:
    with pytest.raises(ValueError, match="is not named as partitions are"):
        year_of(name)


@pytest.mark.parametrize("name", ["", "year=2024", "year=2024/month=06/day=03/", "year=2024/month=6/day=3/1405"])
def test_no_other_text_names_a_day(name: str) -> None:
    with pytest.raises(ValueError, match="is not named as partitions are"):
        day_of(name)


def test_a_day_that_no_calendar_has_is_none() -> None:
    with pytest.raises(ValueError, match="day is out of range"):
        day_of("year=2024/month=02/day=31/0000")
