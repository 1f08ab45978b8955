"""Statements that meet an object which a merge replaces: tried again, with a bound, and then told with a remedy."""

from __future__ import annotations

import pytest

from stock_pipeline.errors import QueryError
from stock_pipeline.query import athena_engine, read_prices, sql
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena, Refused

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

SPLIT = "HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split s3://lake/price_by_date/year=2026/prices.parquet"
PASSING = [
    "HIVE_FILESYSTEM_ERROR: Incorrect fileSize 1234567 for file",
    f"{SPLIT} (offset=0, length=128): Incorrect file size (128) for file (end of stream not reached)",
    f"{SPLIT}: Slow Down (Service: Amazon S3; Status Code: 503)",
    "HIVE_CURSOR_ERROR: com.amazonaws.services.s3.model.AmazonS3Exception: The specified key does not exist",
    "HIVE_CURSOR_ERROR: Failed to read Parquet file: s3://lake/price_by_date/year=2026/prices.parquet",
    "HIVE_CURSOR_ERROR: Unexpected end of input stream",
    "HIVE_BAD_DATA: Not valid Parquet file: s3://lake/x.parquet expected magic number: PAR1 got: 1a2b",
]
FOR_GOOD = [
    f"{SPLIT} (offset=0, length=9): Access Denied (Service: Amazon S3; Status Code: 403)",
    f"{SPLIT}: org.apache.parquet.io.GroupColumnIO cannot be cast to org.apache.parquet.io.PrimitiveColumnIO",
    "HIVE_BAD_DATA: Field volume's type INT64 in parquet file s3://lake/x is incompatible with type double",
    "HIVE_CURSOR_ERROR: The operation is not valid for the object's storage class (Error Code: InvalidObjectState)",
    "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved",
    "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas",
    "Query exhausted resources at this scale factor",
]


@pytest.mark.parametrize("reason", PASSING)
def test_a_statement_goes_on_when_an_object_was_replaced(athena: FakeAthena, on_athena: Settings, reason: str) -> None:
    for times in range(athena_engine.TRIES):
        athena.statements.clear()
        athena.failures = [Refused(reason)] * times
        assert sql("SELECT 1 AS one", settings=on_athena).to_pylist() == [{"one": 1}]
        assert len(athena.statements) == times + 1


def test_a_frame_goes_on_too_and_writes_each_time_to_another_folder(athena: FakeAthena, on_athena: Settings) -> None:
    athena.failures = [Refused(PASSING[0])] * 2
    assert len(read_prices("AAPL", settings=on_athena)) == 0
    assert len(set(athena.statements)) == 3


@pytest.mark.parametrize("frame", [False, True])
def test_tries_end_with_the_reason_the_query_and_what_to_do(
    athena: FakeAthena, on_athena: Settings, frame: bool
) -> None:
    athena.failures = [Refused(PASSING[0])] * 100
    with pytest.raises(QueryError) as raised:
        read_prices("AAPL", settings=on_athena) if frame else sql("SELECT 1", settings=on_athena)
    assert len(athena.statements) == athena_engine.TRIES
    message = str(raised.value)
    assert "Incorrect fileSize 1234567" in message
    assert f"each of {athena_engine.TRIES} tries" in message
    assert list(athena.done)[-1] in message
    assert "STOCK_PIPELINE_SQL_ENGINE=duckdb" in message


@pytest.mark.parametrize("reason", FOR_GOOD)
def test_what_comes_again_is_told_at_once(athena: FakeAthena, on_athena: Settings, reason: str) -> None:
    athena.failures = [Refused(reason)] * 2
    with pytest.raises(QueryError) as raised:
        sql("SELECT 1", settings=on_athena)
    assert len(athena.statements) == 1
    assert reason in str(raised.value)


def test_what_athena_calls_retryable_is_tried_again(athena: FakeAthena, on_athena: Settings) -> None:
    throttled = Refused("Query failed due to Amazon S3 throttling", {"ErrorType": 1403, "Retryable": True})
    athena.failures = [throttled]
    assert sql("SELECT 1 AS one", settings=on_athena).num_rows == 1
    athena.failures = [throttled] * 100
    with pytest.raises(
        QueryError, match=r"throttling .*each of 4 tries\. Athena says that the statement may succeed later"
    ):
        sql("SELECT 1", settings=on_athena)


def test_waits_grow_and_differ(athena: FakeAthena, on_athena: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(athena_engine, "_FIRST_WAIT", 1.0)
    monkeypatch.setattr("time.sleep", slept.append)
    athena.failures = [Refused(PASSING[0])] * 3
    sql("SELECT 1", settings=on_athena)
    assert [0.5 * 2**n <= pause <= 1.5 * 2**n for n, pause in enumerate(slept)] == [True] * 3


def test_a_statement_that_a_person_interrupts_is_stopped_and_not_tried_again(
    athena: FakeAthena, on_athena: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    athena.waits = 1
    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sql("SELECT 1", settings=on_athena)
    assert athena.stopped == list(athena.done)
    assert len(athena.statements) == 1


def test_pauses_between_two_looks_grow_to_two_seconds(
    athena: FakeAthena, on_athena: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(athena_engine, "_FIRST_POLL", 0.1)
    monkeypatch.setattr("time.sleep", slept.append)
    athena.waits = 12
    assert sql("SELECT 1 AS one", settings=on_athena).num_rows == 1
    assert slept == sorted(slept)
    assert (slept[0], slept[-1]) == (0.1, 2.0)
