"""SQL over the lake: the same answers whatever the engine, nothing written, nothing read beside the tables."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import boto3
import pyarrow as pa
import pytest
from moto import mock_aws
from moto.athena.models import athena_backends
from moto.core import DEFAULT_ACCOUNT_ID

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import NothingFound, QueryError, SettingsError, StoreUnavailable
from stock_pipeline.lake.object_store import StoredObject
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import bucket_partition, year_partition
from stock_pipeline.query import athena_engine, duckdb_engine, latest_prices, read_prices, read_ticks, sql
from stock_pipeline.schemas import DATABASE, LATEST_PRICES, PRICE_BY_DATE, TABLES
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

LOADED = datetime(2024, 6, 1, 12, tzinfo=UTC)


def bars(year: int, symbols: tuple[str, ...] = ("AAPL", "MSFT"), days: int = 3, close: float = 100.0) -> bytes:
    """A year object: `days` sessions from 2 January of each symbol, volumes 1, 2, 3, …"""
    rows = [
        {
            "symbol": s,
            "date": date(year, 1, 2 + d),
            "close": close + d,
            "volume": d + 1,
            "source": "f.csv",
            "etl_loading_ts": LOADED,
        }
        for s in symbols
        for d in range(days)
    ]
    return encode(pa.Table.from_pylist(rows, PRICE_BY_DATE.schema), PRICE_BY_DATE)


def fill(store: Any, *years: int) -> Any:
    for year in years:
        store.put(partition_key(PRICE_BY_DATE, year_partition(year)), bars(year))
    return store


def add_ticks(store: Any, *moments: datetime) -> Any:
    """A history object at each moment: a tick of AAPL then, and one of MSFT a second later."""
    lay_out(store, 5)
    for at in moments:
        rows = [
            {
                "event_id": f"{at:%d%H%M}-{n}",
                "symbol": symbol,
                "price": 100.0 + n,
                "produced_at": at + timedelta(seconds=n),
                "source": "ticks",
                "etl_loading_ts": LOADED,
            }
            for n, symbol in enumerate(("AAPL", "MSFT"))
        ]
        ticks = pa.Table.from_pylist(rows, HISTORY.schema)
        store.put(partition_key(HISTORY, bucket_partition(at)), encode(ticks, HISTORY))
    return store


@pytest.fixture
def lake() -> MemoryStore:
    return fill(MemoryStore(), 2022, 2023, 2024)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A lake in moto's S3, as `sql` and `read_prices` find it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        fill(S3Store("lake"), 2022, 2023, 2024)
        yield Settings(lake_bucket="lake", sql_engine="duckdb")


def run(lake: MemoryStore, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    return duckdb_engine.run(statement, parameters, lake, DATABASE).to_pylist()  # type: ignore[no-any-return]


def fetched(lake: MemoryStore) -> list[str]:
    return sorted(key.split("/")[1] for key in set(lake.gets))


class TestDuckDB:
    def test_a_table_has_its_columns_and_its_partition_column_typed_as_in_glue(self, lake: MemoryStore) -> None:
        found = duckdb_engine.run("SELECT * FROM price_by_date", (), lake, DATABASE)
        assert found.schema.names == [*PRICE_BY_DATE.schema.names, "year"]
        assert found.schema.field("year").type == pa.int32()
        assert found.schema.field("etl_loading_ts").type == pa.timestamp("us", "UTC")
        assert found.num_rows == 18

    @pytest.mark.parametrize(
        ("condition", "years"),
        [
            ("year = 2023", ["year=2023"]),
            ("date = DATE '2022-01-03'", ["year=2022"]),
            ("date >= '2023-01-03'", ["year=2023", "year=2024"]),
            ("date BETWEEN DATE '2022-06-01' AND DATE '2023-06-01'", ["year=2022", "year=2023"]),
            ("year = 2031", []),
        ],
    )
    def test_only_objects_that_can_hold_an_answer_are_fetched(
        self, lake: MemoryStore, condition: str, years: list[str]
    ) -> None:
        run(lake, f"SELECT symbol, close FROM price_by_date WHERE {condition}")
        assert fetched(lake) == years

    def test_a_time_decides_which_days_of_ticks_are_fetched(self) -> None:
        lake = add_ticks(MemoryStore(), *(datetime(2024, 1, day, 15, tzinfo=UTC) for day in (2, 3, 4)))
        found = run(
            lake, f"SELECT DISTINCT day FROM {HISTORY.name} WHERE produced_at >= TIMESTAMP '2024-01-03 00:00:00'"
        )
        assert sorted(row["day"] for row in found) == [3, 4]
        assert {key.split("/")[3] for key in lake.gets} == {"day=03", "day=04"}

    def test_each_object_is_fetched_once_however_often_a_statement_names_its_table(self, lake: MemoryStore) -> None:
        statement = "SELECT count(*) AS n FROM price_by_date a JOIN price_by_date b USING (symbol, date)"
        assert run(lake, statement) == [{"n": 18}]
        assert sorted(lake.gets) == sorted(lake.objects)

    def test_a_table_without_objects_is_empty_with_its_columns(self) -> None:
        for table in TABLES.values():
            found = duckdb_engine.run(f"SELECT * FROM {table.name}", (), MemoryStore(), DATABASE)
            assert found.num_rows == 0
            assert found.schema.names == [*table.schema.names, *table.partition]

    def test_tables_are_listed_and_may_be_named_with_their_database(self, lake: MemoryStore) -> None:
        assert {row["name"] for row in run(lake, "SHOW TABLES")} == set(TABLES)
        assert run(lake, f"SELECT count(*) AS n FROM {DATABASE}.price_by_date") == [{"n": 18}]

    def test_sums_are_whole_numbers_as_in_athena(self, lake: MemoryStore) -> None:
        found = duckdb_engine.run("SELECT sum(year) AS shares FROM price_by_date", (), lake, DATABASE)
        assert found.schema.field("shares").type == pa.int64()
        assert found.to_pylist() == [{"shares": 36_414}]

    def test_parameters_take_the_place_of_question_marks(self, lake: MemoryStore) -> None:
        statement = "SELECT close FROM price_by_date WHERE symbol = ? AND date = ? AND year = ?"
        assert run(lake, statement, "AAPL", date(2023, 1, 3), 2023) == [{"close": 101.0}]
        assert run(lake, statement, "x' OR '1'='1", date(2023, 1, 3), 2023) == []

    def test_a_missing_parameter_is_said(self, lake: MemoryStore) -> None:
        with pytest.raises(QueryError, match="parameter"):
            run(lake, "SELECT * FROM price_by_date WHERE symbol = ?")

    def test_an_unknown_table_names_those_there_are(self, lake: MemoryStore) -> None:
        with pytest.raises(QueryError, match="does not exist! The tables are price_by_date"):
            run(lake, "SELECT * FROM prices")

    def test_a_reader_sees_one_version_of_an_object_that_is_rewritten_meanwhile(self) -> None:
        class RewrittenAfterListing(MemoryStore):
            def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
                self.put(key, bars(2024, ("AAPL", "MSFT", "ORCL"), days=20, close=200.0))
                return super().get(key, max_bytes=max_bytes, version=version)

        lake = fill(RewrittenAfterListing(), 2024)
        found = run(lake, "SELECT min(close) AS lowest, count(*) AS n FROM price_by_date")
        assert found == [{"lowest": 200.0, "n": 60}]

    def test_an_object_that_cannot_be_read_fails_the_statement_with_the_store_s_error(self) -> None:
        class Down(MemoryStore):
            def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
                raise StoreUnavailable(key, "S3 answered 503")

        with pytest.raises(StoreUnavailable, match="503"):
            run(fill(Down(), 2024), "SELECT * FROM price_by_date")

    @pytest.mark.parametrize("wanted", ["count(*)", "max(close)"])
    def test_one_object_of_many_that_cannot_be_read_never_leaves_a_smaller_answer(self, wanted: str) -> None:
        class PartlyDown(MemoryStore):
            def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
                if "year=2013" in key:
                    raise StoreUnavailable(key, "S3 answered 503")
                return super().get(key, max_bytes=max_bytes, version=version)

        with pytest.raises(StoreUnavailable, match="503"):
            run(fill(PartlyDown(), *range(2000, 2025)), f"SELECT {wanted} FROM price_by_date")

    def test_a_few_rows_do_not_cost_all_objects(self) -> None:
        lake = fill(MemoryStore(), *range(1980, 2025))
        assert len(run(lake, "SELECT * FROM price_by_date LIMIT 3")) == 3
        assert len(lake.gets) < 15

    def test_a_statement_that_failed_holds_nothing(self) -> None:
        class Down(MemoryStore):
            def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
                raise StoreUnavailable(key, "S3 answered 503")

        lake = fill(Down(), 2024)
        gone = weakref.ref(lake)
        with contextlib.suppress(StoreUnavailable):
            run(lake, "SELECT * FROM price_by_date")
        del lake
        gc.collect()
        assert gone() is None

    def test_objects_of_one_day_are_fetched_side_by_side(self) -> None:
        """Each of two reads waits for the other: one after the other would not end."""
        together = threading.Barrier(2, timeout=30)

        class Meeting(MemoryStore):
            def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
                if "/year=" in key:
                    together.wait()
                return super().get(key, max_bytes=max_bytes, version=version)

        lake = add_ticks(Meeting(), datetime(2024, 1, 3, 15, tzinfo=UTC), datetime(2024, 1, 3, 15, 5, tzinfo=UTC))
        assert run(lake, f"SELECT count(*) AS n FROM {HISTORY.name} WHERE day = 3") == [{"n": 4}]


REFUSED = [
    "DROP TABLE price_by_date",
    "CREATE TABLE t AS SELECT 1",
    "DELETE FROM price_by_date",
    "INSERT INTO price_by_date SELECT * FROM price_by_date",
    "WITH a AS (SELECT 1) DELETE FROM price_by_date",
    "SET enable_external_access = true",
    "ATTACH 'x.db'",
    "COPY price_by_date TO 'x.csv'",
    "INSTALL httpfs",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "SELECT 1; DROP TABLE price_by_date",
    "SELECT * FROM price_by_date; SELECT 1",
    "-- SELECT\nUNLOAD (SELECT 1) TO 's3://x/'",
    "",
    "   ;  -- nothing",
]

SHUT_OFF = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT * FROM secret_frame",
    "SELECT getenv('HOME')",
]


class TestWhatAStatementMayDo:
    @pytest.mark.parametrize("statement", REFUSED)
    def test_only_reading_is_allowed(self, settings: Settings, statement: str) -> None:
        with pytest.raises(QueryError):
            sql(statement, settings=settings)

    @pytest.mark.parametrize("statement", SHUT_OFF)
    def test_nothing_beside_the_tables_can_be_read(self, settings: Settings, tmp_path: Any, statement: str) -> None:
        secret_frame = pa.table({"secret": ["hidden"]})
        file = tmp_path / "secret.csv"
        file.write_text("secret\nhidden\n")
        with pytest.raises(QueryError):
            sql(statement.format(file=file), settings=settings)
        assert secret_frame.num_rows == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT 1 AS one",
            "  -- a comment\n /* and\n another */ select 1 AS one ; ",
            "(SELECT 1 AS one)",
            "WITH a AS (SELECT 1 AS one) SELECT * FROM a",
        ],
    )
    def test_reading_is_found_behind_comments_and_brackets(self, settings: Settings, statement: str) -> None:
        assert sql(statement, settings=settings).to_pylist() == [{"one": 1}]

    @pytest.mark.parametrize(
        "statement", ["DESCRIBE price_by_date", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "SHOW TABLES"]
    )
    def test_tables_and_plans_can_be_looked_at(self, settings: Settings, statement: str) -> None:
        assert sql(statement, settings=settings).num_rows

    def test_without_a_lake_the_missing_setting_is_named(self) -> None:
        with pytest.raises(SettingsError, match="STOCK_PIPELINE_LAKE_BUCKET"):
            sql("SELECT 1", settings=Settings(sql_engine="duckdb"))


class TestReadPrices:
    def test_symbols_and_sessions_limit_what_comes_back(self, settings: Settings) -> None:
        found = read_prices(["MSFT", "AAPL"], date(2022, 1, 4), date(2023, 1, 2), settings=settings)
        assert list(zip(found.symbol, found.date.dt.date, strict=True)) == [
            ("AAPL", date(2022, 1, 4)),
            ("AAPL", date(2023, 1, 2)),
            ("MSFT", date(2022, 1, 4)),
            ("MSFT", date(2023, 1, 2)),
        ]
        assert found.date.dtype.kind == "M"

    def test_one_symbol_may_be_a_string_and_columns_are_chosen(self, settings: Settings) -> None:
        found = read_prices("AAPL", columns=["date", "close"], settings=settings)
        assert list(found.columns) == ["date", "close"]
        assert len(found) == 9

    def test_no_limits_give_everything_and_no_symbols_give_nothing(self, settings: Settings) -> None:
        assert len(read_prices(settings=settings)) == 18
        assert len(read_prices([], settings=settings)) == 0

    def test_an_unknown_column_is_named(self, settings: Settings) -> None:
        with pytest.raises(QueryError, match="no column price"):
            read_prices(columns=["price"], settings=settings)


DAYS = [datetime(2023, 12, 31, 23, 55, tzinfo=UTC), *(datetime(2024, 1, day, 15, tzinfo=UTC) for day in (1, 2, 3))]
NEW_YORK = timezone(timedelta(hours=-5))


class TestReadTicks:
    @pytest.fixture
    def ticks(self, settings: Settings) -> Settings:
        add_ticks(S3Store("lake"), *DAYS)
        return settings

    @pytest.mark.parametrize(
        ("start", "end", "ids"),
        [
            (date(2024, 1, 2), date(2024, 1, 2), ["021500-0", "021500-1"]),
            (date(2023, 12, 31), date(2024, 1, 1), ["011500-0", "312355-0", "011500-1", "312355-1"]),
            (datetime(2024, 1, 2, 15, 0, 1), datetime(2024, 1, 3, 15), ["031500-0", "021500-1"]),  # noqa: DTZ001
            (datetime(2024, 1, 3, 10, tzinfo=NEW_YORK), None, ["031500-0", "031500-1"]),
            (None, date(2023, 12, 31), ["312355-0", "312355-1"]),
            (date(2024, 1, 3), date(2024, 1, 2), []),
        ],
    )
    @pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")
    def test_moments_limit_what_comes_back(
        self, ticks: Settings, start: date | None, end: date | None, ids: list[str]
    ) -> None:
        found = read_ticks(start=start, end=end, settings=ticks)
        assert sorted(found.event_id) == sorted(ids)
        assert list(found.symbol) == sorted(found.symbol)

    @pytest.mark.parametrize("text", ["2024-01-03", "2024-01-03T15:00:00Z", "2024-01-03 15:00:00.5+00:00"])
    def test_moments_may_be_texts(self, ticks: Settings, text: str) -> None:
        at = datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
        assert read_ticks(None, text, settings=ticks).equals(read_ticks(None, at, settings=ticks))

    def test_symbols_and_columns_are_chosen_and_times_are_utc(self, ticks: Settings) -> None:
        found = read_ticks("MSFT", columns=["produced_at", "price"], settings=ticks)
        assert list(found.columns) == ["produced_at", "price"]
        assert found.produced_at.tolist() == [at + timedelta(seconds=1) for at in DAYS]
        assert len(read_ticks([], settings=ticks)) == 0

    def test_by_default_there_is_no_provenance(self, ticks: Settings) -> None:
        provenance = ["source", "etl_loading_ts"]
        assert [*read_ticks(settings=ticks).columns, *provenance] == HISTORY.schema.names

    def test_an_unknown_column_is_named(self, settings: Settings) -> None:
        with pytest.raises(QueryError, match="stream_prices_history has no column close"):
            read_ticks(columns=["close"], settings=settings)


class TestWhatACallerWouldMiss:
    """An empty frame alone would say nothing."""

    def test_symbols_without_a_row_are_named(self, settings: Settings) -> None:
        with pytest.warns(NothingFound, match="price_by_date has no row of aapl, ZZZ in .*; symbols keep their case"):
            assert set(read_prices(["AAPL", "aapl", "ZZZ"], settings=settings).symbol) == {"AAPL"}
        with pytest.warns(NothingFound, match="latest_prices has no row of ZZZ in what was asked for$"):
            latest_prices("ZZZ", settings=settings)
        with pytest.warns(NothingFound, match="stream_prices_history has no row of ZZZ"):
            read_ticks("ZZZ", date(2024, 1, 3), date(2024, 1, 3), settings=settings)

    def test_a_start_after_the_end_is_told(self, settings: Settings) -> None:
        with pytest.warns(NothingFound, match="the start, 2024-01-03, is after the end, 2024-01-02"):
            assert read_prices(None, date(2024, 1, 3), date(2024, 1, 2), settings=settings).empty

    def test_days_may_be_texts(self, settings: Settings) -> None:
        days = read_prices("AAPL", date(2023, 1, 3), date(2023, 1, 4), settings=settings)
        texts = read_prices("AAPL", "2023-01-03", "2023-01-04", settings=settings)
        assert len(days) > 0
        assert texts.equals(days)

    @pytest.mark.parametrize("text", ["01/02/2024", "2024-13-01", "yesterday", "2024-01-02T15:00"])
    def test_another_text_is_refused_with_the_form(self, settings: Settings, text: str) -> None:
        with pytest.raises(QueryError, match="write it as 2024-01-31"):
            read_prices("AAPL", text, settings=settings)

    def test_a_text_that_is_no_time_is_refused_with_the_form(self, settings: Settings) -> None:
        with pytest.raises(QueryError, match="write it as 2024-01-31, or as 2024-01-31T14:30:00Z"):
            read_ticks("AAPL", "3pm", settings=settings)


def test_latest_prices_are_the_snapshot_by_symbol(settings: Settings) -> None:
    row = {"price": 10.0, "produced_at": DAYS[0], "etl_loading_ts": LOADED}
    rows = [{"symbol": s, "event_id": s, **row} for s in ("AAPL", "MSFT", "ORCL")]
    snapshot = encode(pa.Table.from_pylist(rows, LATEST_PRICES.schema), LATEST_PRICES)
    S3Store("lake").put(partition_key(LATEST_PRICES, "latest"), snapshot)
    assert list(latest_prices(settings=settings).symbol) == ["AAPL", "MSFT", "ORCL"]
    found = latest_prices(["ORCL", "AAPL"], settings=settings)
    assert list(found.symbol) == ["AAPL", "ORCL"]
    assert found.produced_at.tolist() == [DAYS[0]] * 2
    with pytest.raises(QueryError, match="latest_prices has no column close"):
        latest_prices(columns=["close"], settings=settings)


@pytest.fixture
def athena_settings(settings: Settings) -> Settings:
    boto3.client("athena").create_work_group(
        Name="stock-pipeline-main", Configuration={"ResultConfiguration": {"OutputLocation": "s3://lake/results/"}}
    )
    return Settings(lake_bucket="lake", sql_engine="athena")


def answer(columns: list[tuple[str, str]], rows: list[list[str | None]]) -> None:
    """What moto's Athena will give as the next result, in the service's own form."""
    from moto.athena.models import QueryResults

    info = [{"Name": n, "Type": t, "Precision": 38, "Scale": 2} for n, t in columns]
    data = [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in rows]
    queue = athena_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].query_results_queue
    queue.append(QueryResults(rows=data, column_info=info))


class TestAthena:
    def test_a_result_is_typed_by_its_columns_and_the_header_row_is_none(self, athena_settings: Settings) -> None:
        columns = ["symbol", "date", "close", "volume", "ok", "loaded", "total", "tags"]
        types = ["varchar", "date", "double", "bigint", "boolean", "timestamp", "decimal", "array"]
        row = ["AAPL", "2024-01-02", "1.5", "7", "true", "2024-01-02 14:30:00.250", "12.50", "[a, b]"]
        answer(list(zip(columns, types, strict=True)), [columns, list(row), [None] * 8])
        found = sql("SELECT …", settings=athena_settings)
        assert [str(t) for t in found.schema.types] == [
            "string",
            "date32[day]",
            "double",
            "int64",
            "bool",
            "timestamp[us, tz=UTC]",
            "decimal128(38, 2)",
            "string",
        ]
        first, empty = found.to_pylist()
        assert first["date"] == date(2024, 1, 2)
        assert first["loaded"] == datetime(2024, 1, 2, 14, 30, 0, 250_000, tzinfo=UTC)
        assert first["volume"] == 7
        assert set(empty.values()) == {None}

    def test_no_rows_still_have_their_columns(self, athena_settings: Settings) -> None:
        answer([("n", "bigint")], [["n"]])
        found = sql("SELECT count(*) AS n FROM price_by_date WHERE false", settings=athena_settings)
        assert (found.num_rows, found.schema.names) == (0, ["n"])

    def test_writing_is_refused_before_athena_sees_it(self, athena_settings: Settings) -> None:
        with pytest.raises(QueryError, match="only reads"):
            sql("INSERT INTO price_by_date VALUES (1)", settings=athena_settings)

    def test_an_unknown_workgroup_gives_athena_s_message(self, settings: Settings) -> None:
        with pytest.raises(QueryError, match="workgroup missing"):
            sql("SELECT 1", settings=Settings(sql_engine="athena", athena_workgroup="missing"))

    def test_a_failed_query_gives_its_reason_and_its_id(
        self, athena_settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed = {"State": "FAILED", "StateChangeReason": "COLUMN_NOT_FOUND: line 1:8"}
        backend = type(athena_backends[DEFAULT_ACCOUNT_ID]["us-east-1"])
        original = backend.get_query_execution

        def get(self: Any, exec_id: str) -> Any:
            execution = original(self, exec_id)
            execution.status = failed["State"]
            return execution

        monkeypatch.setattr(backend, "get_query_execution", get)
        with pytest.raises(QueryError, match="Athena query"):
            sql("SELECT nope", settings=athena_settings)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("AAPL", "'AAPL'"),
            ("O'Neil'; DROP TABLE x --", "'O''Neil''; DROP TABLE x --'"),
            (2024, "2024"),
            (True, "true"),
            (1.5, "CAST('1.5' AS DOUBLE)"),
            (date(2024, 1, 2), "DATE '2024-01-02'"),
            (datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "TIMESTAMP '2024-01-02 03:04:05.000006'"),
        ],
    )
    def test_parameters_become_literals_that_stay_what_they_are(self, value: Any, text: str) -> None:
        assert athena_engine.literal(value) == text
