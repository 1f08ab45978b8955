"""Frames on Athena. The law: each of them has the rows that DuckDB gives, however Athena returns them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.aws import clients
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import QueryError
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.query import athena_engine, athena_ticks, latest_prices, read_prices, read_ticks
from stock_pipeline.schemas import LATEST_PRICES, TABLES
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena, Refused, down, half_up
from stock_pipeline_tests.support.small_lake import NOW, put, put_prices, put_ticks

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

MICRO = timedelta(microseconds=1)
ON_ATHENA, ON_DUCKDB = (Settings(lake_bucket="lake", sql_engine=engine) for engine in ("athena", "duckdb"))


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    class At(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return NOW

    monkeypatch.setattr(athena_ticks, "datetime", At)


class TestUnload:
    @pytest.mark.parametrize("manifest", [True, False])
    @pytest.mark.parametrize("int96", [True, False])
    def test_rows_of_many_files_come_in_the_order_and_types_of_the_table(
        self, athena: FakeAthena, int96: bool, manifest: bool
    ) -> None:
        put_prices(2024, 2025)
        athena.int96, athena.manifest = int96, manifest
        asked = (["S07", "S31"], date(2024, 1, 5), date(2025, 1, 9))
        here = read_prices(*asked, settings=ON_ATHENA, arrow=True)
        assert here.equals(read_prices(*asked, settings=ON_DUCKDB, arrow=True).cast(here.schema))
        assert here.num_rows == 2 * (47 + 8)
        assert athena.calls.count("GetQueryResults") == 0

    def test_a_year_is_one_statement_however_many_rows_it_has(self, athena: FakeAthena) -> None:
        put_prices(2025, symbols=100)
        assert len(read_prices(start=date(2025, 1, 1), end=date(2025, 12, 31), settings=ON_ATHENA)) == 5_000
        assert [call for call in athena.calls if call != "GetQueryExecution"] == ["GetWorkGroup", "StartQueryExecution"]

    def test_no_rows_have_the_columns(self, athena: FakeAthena) -> None:
        found = read_prices("NONE", settings=ON_ATHENA, arrow=True)
        assert found.num_rows == 0
        assert found.schema.equals(read_prices("NONE", settings=ON_DUCKDB, arrow=True).schema)

    def test_columns_may_be_named_twice_and_without_those_of_the_order(self, athena: FakeAthena) -> None:
        put_prices(2025, symbols=2, sessions=3)
        for columns in (["close", "close"], ["close"], ["volume", "date"]):
            here = read_prices(columns=columns, settings=ON_ATHENA, arrow=True)
            assert here.column_names == columns
            first = [None, 1.0] if columns[0] == "volume" else [0.0, 1 / 7]
            assert here.column(0).to_pylist()[:2] == first

    def test_the_files_lie_where_the_results_expire(self, athena: FakeAthena) -> None:
        put_prices(2025, symbols=2, sessions=3)
        read_prices(settings=ON_ATHENA)
        written = [info.key for info in S3Store("lake").list("") if not info.key.startswith("price_by_date/")]
        assert written
        assert all(key.startswith("athena_results/") for key in written)

    def test_where_athena_keeps_the_results_itself_rows_are_paged(self, athena: FakeAthena) -> None:
        put_prices(2025)
        athena.results = ""
        here = read_prices("S03", settings=ON_ATHENA, arrow=True)
        assert here.equals(read_prices("S03", settings=ON_DUCKDB, arrow=True).cast(here.schema))
        assert "GetQueryResults" in athena.calls

    def test_who_may_not_see_the_workgroup_is_told(self, athena: FakeAthena, monkeypatch: pytest.MonkeyPatch) -> None:
        client = clients.client_of("athena")
        with Stubber(client) as stub:
            stub.add_client_error("get_work_group", "AccessDeniedException", "not authorized to athena:GetWorkGroup")
            monkeypatch.setattr(athena_engine, "client_of", lambda _: client)
            with pytest.raises(QueryError, match="not authorized to athena:GetWorkGroup"):
                read_prices("A", settings=ON_ATHENA)


class TestNewest:
    """What merges replace now is read by GET of the objects, so no query meets it."""

    def test_the_snapshot_is_one_get_and_exact(self, athena: FakeAthena) -> None:
        at = NOW - 5 * MICRO
        put(LATEST_PRICES, SNAPSHOT, [{"symbol": s, "price": 1.0, "produced_at": at, "event_id": s} for s in "AM"])
        assert latest_prices("M", settings=ON_ATHENA).produced_at.tolist() == [at]
        assert athena.calls == []

    def test_without_the_name_of_the_bucket_athena_is_asked(self, athena: FakeAthena) -> None:
        put(LATEST_PRICES, SNAPSHOT, [{"symbol": "A", "price": 1.0, "produced_at": NOW, "event_id": "e"}])
        put_ticks(NOW)
        only = Settings(sql_engine="athena")
        assert list(latest_prices(settings=only).symbol) == ["A"]
        assert list(read_ticks(settings=only).symbol) == ["A"]

    @pytest.mark.parametrize("minutes", [1, 60, 1440])
    def test_ticks_of_the_last_hour_need_no_query(self, athena: FakeAthena, minutes: int) -> None:
        ticks = [NOW - timedelta(minutes=n, microseconds=n) for n in (0, 10, 59)]
        put_ticks(*ticks, NOW + timedelta(minutes=4), minutes=minutes)
        athena.failures = [Refused("HIVE_FILESYSTEM_ERROR: Incorrect fileSize 1 for file")] * 9
        found = read_ticks(start=NOW - timedelta(hours=1), settings=ON_ATHENA)
        assert set(found.produced_at) == {*ticks, NOW + timedelta(minutes=4)}
        assert athena.calls == []

    def test_a_closed_time_is_left_to_athena(self, athena: FakeAthena) -> None:
        put_ticks(NOW - timedelta(days=3), NOW)
        assert len(read_ticks(end=NOW - timedelta(days=2), settings=ON_ATHENA)) == 1
        assert len(athena.statements) == 1

    @settings(max_examples=12, deadline=None)
    @given(
        st.lists(st.integers(-3 * 3600, 600), max_size=12, unique=True),
        st.none() | st.integers(-3 * 3600, 300),
        st.none() | st.integers(-3 * 3600, 300),
        st.sampled_from([None, "A", ["A", "M"]]),
        st.sampled_from([1, 60, 240]),
    )
    def test_the_seam_neither_doubles_nor_loses_a_tick(
        self, loopback: FakeAthena, at: list[int], start: int | None, end: int | None, symbols: Any, minutes: int
    ) -> None:
        loopback.reset()
        put_ticks(*(NOW + timedelta(seconds=seconds, microseconds=seconds % 1000) for seconds in at), minutes=minutes)
        bounds = [None if bound is None else NOW + timedelta(seconds=bound) for bound in (start, end)]
        here = read_ticks(symbols, *bounds, settings=ON_ATHENA, arrow=True)
        there = read_ticks(symbols, *bounds, settings=ON_DUCKDB, arrow=True)
        theirs, ours = ({r["event_id"]: r["produced_at"] for r in found.to_pylist()} for found in (here, there))
        assert (here.num_rows, theirs.keys()) == (there.num_rows, ours.keys())
        assert all(abs(theirs[tick] - ours[tick]) <= timedelta(milliseconds=1) for tick in ours)

    @pytest.mark.parametrize("rounded", [down, half_up])
    def test_ticks_within_a_millisecond_of_the_seam_are_there_once(
        self, athena: FakeAthena, rounded: Callable[[datetime], datetime]
    ) -> None:
        seam = NOW.replace(hour=14, minute=0, second=0)
        put_ticks(*(seam + micros * MICRO for micros in (-1001, -1000, -999, -501, -500, -1, 0, 1, 500, 999, 1001)))
        athena.rounded = rounded
        assert sorted(read_ticks(settings=ON_ATHENA).event_id) == sorted(read_ticks(settings=ON_DUCKDB).event_id)
        assert len(read_ticks(start=seam - MICRO, end=seam, settings=ON_ATHENA)) == 2
        assert len(athena.statements) == 2


KEYWORDS = set("select from where and in order by between unload to with true false format compression".split())


def test_every_name_in_a_statement_that_is_made_is_quoted(athena: FakeAthena) -> None:
    """So no column or table can be a word that an engine reserves, as `table` and, in DDL, `date` are."""
    put_ticks(NOW - timedelta(days=9))
    read_prices(["A", "B"], date(2024, 1, 1), date(2025, 1, 1), settings=ON_ATHENA)
    read_prices("A", as_of=datetime(2026, 1, 1, tzinfo=UTC), settings=ON_ATHENA)
    read_ticks(["A"], date(2024, 1, 1), date(2024, 1, 2), settings=ON_ATHENA)
    latest_prices(settings=Settings(sql_engine="athena"))
    assert len(athena.statements) == 4
    columns = {name for table in TABLES.values() for name in (*table.schema.names, *table.partition)}
    for statement in athena.statements:
        bare = set(re.findall(r"[a-z_]+", re.sub(r"'[^']*'|\"[^\"]*\"", " ", statement).lower()))
        reserved = {"table", "date", "first", "last", "end", "order", "group", "values", "user"}
        assert not bare & columns & reserved
        if "row_number" not in bare:
            assert bare <= KEYWORDS


@pytest.mark.parametrize(
    ("start", "end", "condition"),
    [
        (date(2024, 1, 31), date(2024, 2, 1), "month IN (1, 2) AND day IN (1, 31)"),
        (date(2023, 12, 31), date(2024, 1, 1), "month IN (1, 12) AND day IN (1, 31)"),
        (date(2024, 1, 1), date(2024, 3, 31), "month IN (1, 2, 3)"),
        (date(2020, 1, 1), date(2024, 3, 31), ""),
    ],
)
def test_athena_is_told_the_partitions_of_the_days(athena: FakeAthena, start: date, end: date, condition: str) -> None:
    """Partition columns are all that projection prunes by."""
    read_ticks(start=start, end=end, settings=ON_ATHENA)
    where = athena.statements[0].split("WHERE ")[1].split(") TO ")[0].replace('"', "")
    calendar = " AND ".join(part for part in where.split(" AND ") if part.startswith(("month", "day")))
    assert calendar == condition
