"""What a statement may reach: the tables, and nothing else; values are parameters and never become SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from stock_pipeline.errors import QueryError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.query import read_prices, sql
from stock_pipeline.query.athena_engine import literal
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

CANARY = "canary-7f3a"

READING = [
    "read_csv('{file}')", "read_csv_auto('{file}')", "read_text('{file}')", "read_blob('{file}')", "'{file}'",
    "read_json('{file}')", "read_json_auto('{file}')", "read_ndjson('{file}')", "read_json_objects('{file}')",
    "read_parquet('{file}')", "parquet_scan('{file}')", "parquet_metadata('{file}')", "sniff_csv('{file}')",
    "glob('{folder}/*')", "glob('/etc/*')", "'/etc/passwd'", "read_text('/proc/self/environ')",
    "read_csv('file://{file}')", "read_text('../../../../../../etc/passwd')", "read_csv('s3://lake-bucket/*')",
    "read_parquet('https://example.com/x.parquet')", "read_csv('http://169.254.169.254/latest/meta-data/')",
    "sqlite_scan('{file}', 't')", "postgres_scan('', '', '')", "duckdb_secrets()", "which_secret('s3://x', 's3')",
    "python_object", "query('SELECT * FROM read_text(''{file}'')')", "query_table('{file}')",
    "(SELECT * FROM read_text('{file}'))", "price_by_date p, read_text('{file}') f", "arrow_scan(1, 2, 3)",
    "pandas_scan(1)", "python_map_function(1)",
]  # fmt: skip

DOING = [
    "COPY (SELECT 1) TO '{folder}/out.csv'", "COPY price_by_date FROM '{file}'", "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'", "ATTACH '{folder}/x.db' AS x", "ATTACH ':memory:' AS x", "DETACH memory",
    "USE memory",
    "INSTALL httpfs", "LOAD httpfs", "LOAD '{folder}/x.duckdb_extension'", "FORCE INSTALL sqlite", "UPDATE EXTENSIONS",
    "SET enable_external_access = true", "SET lock_configuration = false",
    "SET GLOBAL allow_unsigned_extensions = true",
    "SET VARIABLE x = 1", "RESET ALL", "PRAGMA enable_external_access", "PRAGMA database_list",
    "PRAGMA enable_profiling", "CALL pragma_version()", "CALL force_checkpoint()", "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1", "CREATE OR REPLACE VIEW price_by_date AS SELECT 1", "CREATE MACRO m() AS 1",
    "CREATE SECRET s (TYPE s3)", "DROP VIEW price_by_date", "DROP SCHEMA stock_market CASCADE",
    "ALTER TABLE price_by_date ADD COLUMN x INT", "INSERT INTO price_by_date SELECT * FROM price_by_date",
    "UPDATE price_by_date SET close = 1", "DELETE FROM price_by_date", "TRUNCATE price_by_date",
    "MERGE INTO price_by_date",
    "BEGIN", "COMMIT", "CHECKPOINT", "VACUUM", "ANALYZE", "PREPARE p AS SELECT 1", "EXECUTE p", "DEALLOCATE p",
    "EXPLAIN COPY (SELECT 1) TO '{folder}/out.csv'", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE DELETE FROM price_by_date", "WITH a AS (SELECT 1) INSERT INTO price_by_date SELECT * FROM a",
    "SELECT 1; DROP VIEW price_by_date", "SELECT 1; COPY (SELECT 1) TO '{folder}/out.csv'", "SELECT 1;;SELECT 2",
    "SELECT 1 /* ; */ ; /* */ INSTALL httpfs", "/* SELECT */ COPY (SELECT 1) TO '{folder}/out.csv'",
    "-- SELECT\nCOPY (SELECT 1) TO '{folder}/out.csv'", "select\t1;\ndelete from price_by_date",
    "SHOW TABLES; DROP SCHEMA stock_market", "UNLOAD (SELECT 1) TO 's3://x/'", "MSCK REPAIR TABLE price_by_date",
]  # fmt: skip


SETTINGS = Settings(lake_bucket="lake", sql_engine="duckdb")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two rows of prices in a lake, and a folder with a secret file beside a secret in the environment."""
    staging, lake = MemoryStore("staging"), MemoryStore("lake")
    staging.put("daily_prices/A.csv", b"symbol,date,close\nAAPL,2024-01-02,10\nMSFT,2024-01-02,20\n")
    ingest_daily_prices(["daily_prices/A.csv"], staging=staging, lake=lake)
    folder = tmp_path_factory.mktemp("place")
    (folder / "secret.csv").write_text(f"secret\n{CANARY}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY", CANARY)
        patch.setattr("stock_pipeline.aws.s3.S3Store", lambda *_: lake)
        yield folder


def attempt(statement: str, place: Path) -> str:
    """What an attempt brings: the error, or the rows as text."""
    python_object = [{"secret": CANARY}]
    try:
        found = sql(
            statement.replace("{file}", str(place / "secret.csv")).replace("{folder}", str(place)), settings=SETTINGS
        )
    except QueryError as error:
        return f"refused: {error}"
    assert python_object
    return str(found.to_pylist())


@pytest.mark.parametrize("source", READING)
def test_nothing_but_the_tables_can_be_read(place: Path, source: str) -> None:
    said = attempt(f"SELECT * FROM {source}", place)
    assert said.startswith("refused: ")
    assert CANARY not in said.replace(str(place), "")
    assert "root:" not in said


@pytest.mark.parametrize("statement", DOING)
def test_nothing_is_done_but_reading(place: Path, statement: str) -> None:
    assert attempt(statement, place).startswith("refused: ")
    assert [path.name for path in place.iterdir()] == ["secret.csv"]
    assert len(sql("SELECT * FROM price_by_date", settings=SETTINGS)) == 2


@pytest.mark.parametrize(
    "expression",
    ["getenv('CANARY')", "current_setting('s3_secret_access_key')", "getvariable('CANARY')", "load_aws_credentials()"],
)
def test_the_environment_is_out_of_reach(place: Path, expression: str) -> None:
    assert CANARY not in attempt(f"SELECT {expression} AS x", place)


@pytest.mark.parametrize("name", ["enable_external_access", "lock_configuration", "python_enable_replacements"])
def test_the_locks_are_closed_and_stay_so(place: Path, name: str) -> None:
    closed = "true" if name == "lock_configuration" else "false"
    assert closed in attempt(f"SELECT current_setting('{name}') AS x", place).lower()


HOSTILE = [
    "' OR '1'='1", "'; DROP VIEW price_by_date; --", "AAPL' UNION SELECT * FROM read_text('/etc/passwd') --",
    "\\' OR 1=1 --",
    "$$ OR 1=1 $$", "AAPL\0", "%", "_APL", "?", "''", '"symbol"', "symbol", "NULL",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_a_parameter_is_a_value_whatever_it_holds(place: Path, value: str) -> None:
    assert len(sql("SELECT * FROM price_by_date WHERE symbol = ?", [value], settings=SETTINGS)) == 0
    assert sql("SELECT ? AS x", [value], settings=SETTINGS)["x"].to_pylist() == [value]
    assert read_prices(value, settings=SETTINGS).empty
    assert len(sql("SELECT * FROM price_by_date WHERE symbol = ?", ["AAPL"], settings=SETTINGS)) == 1


@pytest.mark.parametrize("column", ["close; DROP VIEW price_by_date", "close\" FROM read_text('/etc/passwd') --", "*"])
def test_a_column_is_one_of_the_table(place: Path, column: str) -> None:
    with pytest.raises(QueryError, match="has no column"):
        read_prices(columns=[column], settings=SETTINGS)


@given(st.text(max_size=30))
@rules(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_is_one_literal_to_athena(text: str) -> None:
    """Its parameters travel as SQL literals: between the outer quotes every quote is a pair."""
    made = literal(text)
    assert (made[0], made[-1]) == ("'", "'")
    assert made[1:-1].replace("''", "").count("'") == 0
    assert made[1:-1].replace("''", "'") == text
