"""Who fails when objects are ingested together: the one that is at fault, or all at once. For every consumer alike.

The law is shown on an ingest of the test's own; then that the Lambda functions and Dagster's runs keep it, by the calls
that they make to the store.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.definitions import defs
from stock_pipeline.errors import MergeContention, StockPipelineError, StoreError, StoreUnavailable
from stock_pipeline.ingest.partial_failure import NO_TIME, Ingested, ingest_each
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.orchestration import retries
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline_tests.support.lambdas import LAKE, STAGING
from stock_pipeline_tests.support.s3_notifications import event as s3_event
from stock_pipeline_tests.support.stream import event_of, tick

AWAY = StoreUnavailable("stock_stream/x", "S3 answered 503")
NOW = datetime(2024, 6, 3, tzinfo=UTC)


class Feed:
    """An ingest of objects 0, 1, 2, …, some of which break it; it counts how often it is called."""

    def __init__(self, objects: int, errors: dict[int, Exception] | None = None) -> None:
        self.keys = [str(n) for n in range(objects)]
        self.errors = {str(n): error for n, error in (errors or {}).items()}
        self.gone: set[str] = set()
        self.calls = 0

    def ingest(self, keys: Sequence[str]) -> list[Receipt]:
        self.calls += 1
        for key in keys:
            if key in self.errors:
                raise self.errors[key]
        return [_receipt(key, "" if key in self.gone else "e") for key in keys]

    def run(self, go_on: Callable[[], bool] = lambda: True) -> Ingested:
        return ingest_each(self.keys, self.ingest, go_on)


def _receipt(key: str, etag: str) -> Receipt:
    return Receipt(source=key, etag=etag, table="t", bytes=0, rows=0, inserted=0, duplicates=0, conflicts=0,
                   rejected={}, skipped=0, replaced=0, refused=None, partitions={}, started_at=NOW, loaded_at=NOW,
                   seconds=0.0)  # fmt: skip


@given(objects=st.integers(0, 200), data=st.data())
def test_exactly_the_objects_that_break_the_ingest_fail_and_few_calls_find_them(
    objects: int, data: st.DataObject
) -> None:
    some = st.sets(st.integers(0, max(objects - 1, 0)), max_size=min(objects, 9))
    broken, gone = data.draw(some), data.draw(some)
    error = data.draw(st.sampled_from([ValueError("SECRET"), MemoryError(), None]))
    feed = Feed(objects, {n: error or StoreError(str(n), "access denied") for n in broken})
    feed.gone = {str(n) for n in gone}
    ingested = feed.run()
    assert set(ingested.failed) == {str(n) for n in broken}
    assert {str(what) for what in ingested.gone} == feed.gone - set(ingested.failed)
    done = [receipt.source for receipt in ingested.receipts]
    assert done == [key for key in feed.keys if key not in ingested.not_done]
    assert "SECRET" not in str(ingested.failed)
    assert feed.calls <= 1 + 2 * len(broken) * math.ceil(math.log2(max(objects, 2)))


@pytest.mark.parametrize("error", [AWAY, MergeContention("lost"), StoreError("lake/a.parquet", "access denied")])
def test_what_would_fail_for_all_is_raised_after_one_call(error: StockPipelineError) -> None:
    feed = Feed(1000, dict.fromkeys(range(1000), error))
    with pytest.raises(type(error)):
        feed.run()
    assert feed.calls == 1


def test_a_bucket_that_refuses_every_object_is_raised_after_few_calls() -> None:
    feed = Feed(1000, {n: StoreError(str(n), "access denied") for n in range(1000)})
    with pytest.raises(StoreError, match="access denied"):
        feed.run()
    assert feed.calls < 40


def test_a_store_that_goes_away_later_leaves_what_is_done() -> None:
    feed = Feed(8, {2: ValueError(), 5: AWAY})
    ingested = feed.run()
    assert [receipt.source for receipt in ingested.receipts] == ["0", "1", "3"]
    assert ingested.failed == {"2": "ValueError while it was ingested"} | dict.fromkeys("4567", str(AWAY))


def test_what_there_is_no_time_for_fails_and_is_named() -> None:
    feed = Feed(4, {0: ValueError()})
    assert feed.run(lambda: False).failed == dict.fromkeys("0123", NO_TIME)
    assert feed.calls == 1
    short = ingest_each("abc", lambda keys: [_receipt(key, "e") for key in keys[:1]])
    assert short.failed == {"b": NO_TIME, "c": NO_TIME}


def test_the_error_says_how_many_and_why() -> None:
    feed = Feed(4, {1: ValueError("SECRET")})
    assert str(feed.run().failure()) == "1 of 4 objects failed; 1: ValueError while it was ingested"


# --- the consumers ---------------------------------------------------------------------------------------------------

OBJECTS = 30
BAR = b"symbol,date,open,high,low,close,volume\nS%d,2024-05-01,10,12,9,11,5\n"


class StreamFunction:
    """Somebody who is told of objects: `drop` stages one, `tell` has them ingested and says whether that failed."""

    table: Table = STREAM_PRICES_HISTORY
    tries = 1

    def __init__(self, request: pytest.FixtureRequest) -> None:
        s3 = request.getfixturevalue("s3")
        self.staging, self.lake = S3Store(STAGING, s3), S3Store(LAKE, s3)
        self.handler: ModuleType = request.getfixturevalue("cold_start")("process_stock_stream_data")
        self.context = request.getfixturevalue("context")

    def drop(self, n: int) -> str:
        key = f"stock_stream/2024/06/03/13/{n:03}"
        self.staging.put(key, tick(f"e{n}"))
        return key

    def tell(self, keys: Sequence[str]) -> bool:
        records = [{"messageId": k, "body": event_of(k, bucket=STAGING), "eventSource": "aws:sqs"} for k in keys]
        return bool(self.handler.lambda_handler({"Records": records}, self.context)["batchItemFailures"])


class BatchFunction(StreamFunction):
    table = PRICE_BY_DATE

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        self.handler = request.getfixturevalue("cold_start")("process_batch_stock_data")

    def drop(self, n: int) -> str:
        key = f"daily_prices/uploads/{n:03}.csv"
        self.staging.put(key, BAR % n)
        return key

    def tell(self, keys: Sequence[str]) -> bool:
        self.handler.lambda_handler(s3_event(*keys, bucket=STAGING), self.context)
        return False


class DagsterStream(StreamFunction):
    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.stream = request.getfixturevalue("stream")
        self.staging, self.lake = self.stream.pipeline.staging, self.stream.pipeline.lake

    def tell(self, keys: Sequence[str]) -> bool:
        for key in keys:
            self.stream.send(event_of(key))
        result = defs.resolve_job_def("ingest_ticks").execute_in_process(
            instance=self.stream.instance, partition_key="2024-06-03", raise_on_error=False
        )
        return not result.success or self.stream.held() > 0


class DagsterBatch(BatchFunction):
    tries = 1 + retries.RETRIES

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.pipeline = request.getfixturevalue("pipeline")
        self.staging, self.lake = self.pipeline.staging, self.pipeline.lake
        request.getfixturevalue("monkeypatch").setattr(retries, "WAIT", 0)

    def tell(self, keys: Sequence[str]) -> bool:
        self.pipeline.run("ingest_daily_prices", "2024", config={"sources": list(keys)}, succeeds=False)
        return True


Consumer = StreamFunction


@pytest.fixture(params=(StreamFunction, BatchFunction, DagsterStream, DagsterBatch), ids=lambda made: made.__name__)
def consumer(request: pytest.FixtureRequest) -> Consumer:
    made: Consumer = request.param(request)
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], dict[str, Exception]]:
    """How often each raw object was asked for, and what those keys answer that a test puts there; "" is all of them."""
    count, answers, get = Counter[str](), dict[str, Exception](), S3Store.get

    def counting(self: S3Store, key: str, **more: Any) -> Any:
        if not key.startswith(("daily_prices/", "stock_stream/")):
            return get(self, key, **more)
        count[key] += 1
        if error := answers.get(key) or answers.get(""):
            raise error
        return get(self, key, **more)

    monkeypatch.setattr(S3Store, "get", counting)
    return count, answers


def fails(consumer: Consumer, keys: Sequence[str]) -> bool:
    try:
        return consumer.tell(keys)
    except StockPipelineError:
        return True


def stored(consumer: Consumer) -> int:
    found = [read_partition(consumer.lake, consumer.table, name) for name in partitions(consumer.lake, consumer.table)]
    return sum(rows.num_rows for rows in found if rows is not None)


def test_every_consumer_asks_a_store_that_is_away_once_and_fails_for_all(
    consumer: Consumer, asked: tuple[Counter[str], dict[str, Exception]]
) -> None:
    count, answers = asked
    keys = [consumer.drop(n) for n in range(OBJECTS)]
    answers[""] = AWAY
    assert fails(consumer, keys)
    assert max(count.values()) == consumer.tries, "no object is asked for again because others failed"
    assert stored(consumer) == 0


@pytest.mark.parametrize("closed", [False, True], ids=["breaks", "closed"])
def test_every_consumer_lets_only_the_object_fail_that_breaks_the_ingest(
    closed: bool, consumer: Consumer, asked: tuple[Counter[str], dict[str, Exception]]
) -> None:
    count, answers = asked
    keys = [consumer.drop(n) for n in range(OBJECTS)]
    answers[keys[7]] = StoreError(keys[7], "access denied") if closed else ZeroDivisionError()
    assert fails(consumer, keys)
    assert stored(consumer) == OBJECTS - 1
    assert max(count.values()) <= 1 + math.ceil(math.log2(OBJECTS))
