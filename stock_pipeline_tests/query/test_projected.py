"""Years that Athena does not look for. The law: a SELECT misses no row of the lake, or it is refused and told why."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.transforms import bucket_partition
from stock_pipeline.query import projected, read_ticks, sql
from stock_pipeline.query.projected import Years, refuse_outside, years_of
from stock_pipeline.schemas import DATABASE, PRICE_BY_DATE
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena
from stock_pipeline_tests.support.small_lake import glue_table, put, put_prices, put_ticks

ON_ATHENA = Settings(lake_bucket="lake", sql_engine="athena")
NAME = HISTORY.name


def noon(year: int) -> datetime:
    return datetime(year, 6, 3, 12, tzinfo=UTC)


@pytest.fixture
def lake(athena: FakeAthena) -> FakeAthena:
    """Ticks of 2019, 2021, 2025 and 2030; Athena looks for 2024 to 2028."""
    put_ticks(*map(noon, (2019, 2021, 2025, 2030)))
    glue_table(HISTORY, "lake", (2024, 2028))
    athena.years[NAME] = (2024, 2028)
    return athena


ALLOWED: list[tuple[str, list[Any]]] = [
    (f"SELECT count(*) FROM {NAME} WHERE year = 2025", []),
    (f'SELECT count(*) FROM "{NAME}" WHERE "year" BETWEEN ? AND ? AND month = 6', [2024, 2026]),
    (f"SELECT count(*) FROM {NAME} WHERE year IN (2025, 2026)", []),
    (f"SELECT count(*) FROM {NAME} WHERE year IN (2022, 2023)", []),  # the lake has none of these
    (f"SELECT count(*) FROM {NAME} WHERE price > ? AND year >= ? AND year < ?", [9.5, 2024, 2030]),
    (f"WITH t AS (SELECT * FROM {NAME} WHERE year > 2023 AND year <= 2026) SELECT count(*) FROM t", []),
    (f"SELECT '{NAME}' AS name, 1 AS one", []),
    ("SELECT count(*) FROM price_by_date", []),
]
REFUSED: list[tuple[str, list[Any], str]] = [
    (f"SELECT count(*) FROM {NAME}", [], "2019, 2021, 2030"),
    (f"SELECT count(*) FROM {NAME} WHERE produced_at > TIMESTAMP '2025-01-01 00:00:00'", [], "2019, 2021, 2030"),
    (f"SELECT count(*) FROM {NAME} WHERE year(produced_at) = 2025", [], "2019, 2021, 2030"),
    (f"SELECT count(*) FROM {NAME} WHERE year = 2021", [], "2021"),
    (f"SELECT count(*) FROM {NAME} WHERE year IN (2021, 2025)", [], "2021"),
    (f"SELECT count(*) FROM {NAME} WHERE year >= 2024", [], "2030"),
    (f'SELECT count(*) FROM {NAME} WHERE symbol = ? AND "year" <= ?', ["A", 2024], "2019, 2021"),
    (f"SELECT count(*) FROM {DATABASE}.{NAME} WHERE symbol = '2025' -- year = 2025", [], "2019, 2021, 2030"),
    (f"EXPLAIN SELECT count(*) FROM {NAME} WHERE year < 2020", [], "2019"),
]


@pytest.mark.parametrize(("statement", "parameters"), ALLOWED)
def test_a_statement_that_misses_nothing_runs(lake: FakeAthena, statement: str, parameters: list[Any]) -> None:
    sql(statement, parameters, settings=ON_ATHENA)
    assert len(lake.statements) == 1


@pytest.mark.parametrize(("statement", "parameters", "years"), REFUSED)
def test_a_statement_that_would_miss_rows_is_refused_with_the_ways_out(
    lake: FakeAthena, statement: str, parameters: list[Any], years: str
) -> None:
    with pytest.raises(QueryError) as raised:
        sql(statement, parameters, settings=ON_ATHENA)
    assert lake.statements == []
    message = str(raised.value)
    assert f"the lake has rows of {NAME} of {years}, but Athena looks only for 2024 to 2028" in message
    assert "year BETWEEN 2024 AND 2028" in message
    assert "TickYears=" in message
    assert "STOCK_PIPELINE_SQL_ENGINE=duckdb" in message


def test_frames_are_refused_too(lake: FakeAthena) -> None:
    for start, end in ((None, None), (date(2019, 1, 1), date(2025, 1, 1)), (None, date(2024, 1, 1))):
        with pytest.raises(QueryError, match="Athena looks only for 2024 to 2028"):
            read_ticks(start=start, end=end, settings=ON_ATHENA)
    assert len(read_ticks(start=date(2025, 1, 1), end=date(2026, 1, 1), settings=ON_ATHENA)) == 1


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["=", "<", "<=", ">", ">="]), st.integers(2017, 2032), st.booleans())
def test_no_year_is_left_out_in_silence(operator: str, year: int, given_apart: bool) -> None:
    """By arithmetic on the condition: it is refused just when it holds for a year of the lake outside of the range."""
    outside = (2019, 2021, 2030)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projected, "years_of", lambda *_: Years(2024, 2028, outside))
        holds = {"=": year.__eq__, "<": year.__gt__, "<=": year.__ge__, ">": year.__lt__, ">=": year.__le__}[operator]
        statement = f'SELECT 1 FROM {NAME} WHERE "year" {operator} {"?" if given_apart else year}'
        refused = False
        try:
            refuse_outside(statement, [year] if given_apart else [], DATABASE)
        except QueryError:
            refused = True
        assert refused == any(holds(other) for other in outside)


def test_what_cannot_be_seen_is_not_refused(athena: FakeAthena) -> None:
    """Without the table in Glue, or the bucket, nothing is known."""
    put_ticks(noon(2019))
    assert years_of(DATABASE, NAME) is None
    glue_table(PRICE_BY_DATE, "no-such-bucket", (2024, 2028))
    assert years_of(DATABASE, PRICE_BY_DATE.name) is None
    assert sql(f"SELECT count(*) AS n FROM {NAME}", settings=ON_ATHENA)["n"].to_pylist() == [1]


def test_a_range_that_has_all_years_costs_two_listings_once(
    athena: FakeAthena, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_prices(2024, 2025, symbols=1, sessions=1)
    glue_table(PRICE_BY_DATE, "lake", (1900, 2100))
    boto3.client("s3").put_object(Bucket="lake", Key="price_by_date/year=notes/x.parquet", Body=b"")
    assert years_of(DATABASE, PRICE_BY_DATE.name) == Years(1900, 2100, ())
    monkeypatch.setattr(projected, "impatient", None)
    assert years_of(DATABASE, PRICE_BY_DATE.name) == Years(1900, 2100, ())


def test_years_before_and_after_are_found_though_each_has_many_objects(athena: FakeAthena) -> None:
    glue_table(HISTORY, "lake", (2024, 2028))
    for year in (2001, 2023, 2024, 2028, 2029, 2040):
        for day in (1, 2):
            put(HISTORY, bucket_partition(datetime(year, 5, day, tzinfo=UTC)), [])
    assert years_of(DATABASE, NAME) == Years(2024, 2028, (2001, 2023, 2029, 2040))
