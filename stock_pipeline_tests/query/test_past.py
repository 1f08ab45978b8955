"""The table as a reader saw it at a time: after restatements, completions, removals, rebuilds and interruptions."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import QueryError, StockPipelineError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.maintenance.remove import find_source, remove_source
from stock_pipeline.maintenance.restore import plan_restore, restore, versions_of
from stock_pipeline.query import read_prices, sql
from stock_pipeline.query.past import as_known
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.memory_store import MemoryStore

UPLOADS = "daily_prices/uploads/"
SEEN = [name for name in PRICE_BY_DATE.schema.names if name != "adj_known_at"]
"""What a reader sees of a bar. `adj_known_at` alone moves with each file that confirms the adjusted close."""


class Lake:
    """A staging and a lake bucket, and somebody who changes and reads price_by_date."""

    def __init__(self) -> None:
        self.staging, self.lake = (MemoryStore(name, versioned=True) for name in ("staging", "lake"))
        BUCKETS.update(staging=self.staging, lake=self.lake)
        self.settings = Settings(staging_bucket="staging", lake_bucket="lake", sql_engine="duckdb")

    def dying(self, write: int, after: bool) -> None:
        """Let the writer die at its nth write from now on, before it or after it; at none if that is 0."""
        left = itertools.count(1)

        def die(key: str) -> None:
            if next(left) == write:
                raise KeyboardInterrupt

        self.lake.before_put, self.lake.after_put = (_nothing, die) if after else (die, _nothing)

    def ingest(self, name: str, text: str, **options: Any) -> None:
        self.staging.put(UPLOADS + name, text.encode())
        ingest_daily_prices([UPLOADS + name], staging=self.staging, lake=self.lake, **options)

    def remove(self, name: str) -> None:
        remove_source(find_source(UPLOADS + name, self.lake, self.settings), self.staging, self.lake, self.settings)

    def read(self, as_of: datetime | None = None, columns: list[str] = SEEN) -> list[dict[str, Any]]:
        rows = read_prices(columns=columns, settings=self.settings, as_of=as_of, arrow=True)
        return rows.to_pylist()  # type: ignore[no-any-return]

    def closes(self, as_of: datetime | None = None) -> list[tuple[str, float]]:
        return [(row["symbol"], row["close"]) for row in self.read(as_of)]


BUCKETS: dict[str, MemoryStore] = {}


def _nothing(key: str) -> None:
    pass


@pytest.fixture(autouse=True)
def _buckets_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stock_pipeline.aws.s3.S3Store", lambda bucket, client=None: BUCKETS[bucket])


@pytest.fixture
def lake() -> Lake:
    return Lake()


def now() -> datetime:
    return datetime.now(UTC)


VALUES = st.sampled_from(["", "9", "10", "11", "12"])
BARS = st.lists(
    st.tuples(
        st.sampled_from("AB"), st.sampled_from(["2023-12-29", "2024-01-02"]),
        st.fixed_dictionaries({"close": st.sampled_from(["9", "10", "11"])}, optional=dict.fromkeys(
            ("open", "high", "low", "adj_close", "volume"), VALUES)),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ingest", "ingest", "restate", "restate", "remove", "rebuild", "restore"]),
        st.sampled_from(["a.csv", "b.csv", "c.csv"]),
        BARS,
        st.sampled_from([0, 0, 0, 1, 2, 3, 4]),  # the write at which the writer dies
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def text_of(bars: list[tuple[str, str, dict[str, str]]]) -> str:
    """The bars as a file with the columns that some of them have."""
    names = [n for n in ("open", "high", "low", "close", "adj_close", "volume") if any(n in b for _, _, b in bars)]
    lines = [",".join([s, day, *(b.get(n, "") for n in names)]) for s, day, b in bars]
    return "\n".join([",".join(["symbol", "date", *names]), *lines, ""])


def change(lake: Lake, kind: str, name: str, text: str) -> None:
    if kind == "remove":
        lake.remove(name)
    elif kind == "rebuild":
        for year in (2023, 2024):
            rebuild_year(year, staging=lake.staging, lake=lake.lake)
    elif kind == "restore":
        first = versions_of(lake.lake, PRICE_BY_DATE, "year=2024")[0]
        plan = plan_restore(
            PRICE_BY_DATE, "year=2024", staging=lake.staging, lake=lake.lake, version=first.version
        )  # fmt: skip
        restore(plan, staging=lake.staging, lake=lake.lake, settings=lake.settings)
    else:
        lake.ingest(name, text, replace=kind == "restate")


@settings(max_examples=12, deadline=None)
@given(STEPS)
def test_the_table_as_of_a_time_is_what_a_reader_saw_then(steps: list[Any]) -> None:
    lake = Lake()
    seen = [(now(), lake.read())]
    for kind, name, bars, dies, after in steps:
        lake.dying(dies, after)
        # It dies, or there is nothing to remove or to rebuild.
        with contextlib.suppress(KeyboardInterrupt, StockPipelineError):
            change(lake, kind, name, text_of(bars))
        lake.dying(0, after)
        seen.append((now(), lake.read()))
    for at, rows in seen:
        assert lake.read(at) == rows
    revisions = _revisions(lake)
    assert len({(r["symbol"], r["date"], r["known_from"], r["source"]) for r in revisions}) == len(revisions)


def _revisions(lake: Lake) -> list[dict[str, Any]]:
    return sql("SELECT * FROM price_revisions", settings=lake.settings).to_pylist()  # type: ignore[no-any-return]


def test_a_restore_is_a_change_of_the_table_like_any_other(lake: Lake) -> None:
    lake.ingest("a.csv", "symbol,date,close\nA,2024-01-02,1\nB,2024-01-02,1\n")
    lake.ingest("b.csv", "symbol,date,close\nA,2024-01-02,2\nC,2024-01-02,2\n", replace=True)
    before = now()
    change(lake, "restore", "", "")
    assert lake.closes() == lake.closes(before) == [("A", 2.0), ("B", 1.0), ("C", 2.0)]
    assert sorted((r["symbol"], r["close"], r["change"]) for r in _revisions(lake)) == [
        ("A", 1.0, "replaced"), ("A", 1.0, "replaced"), ("A", 2.0, "rebuilt"), ("C", 2.0, "rebuilt"),
    ]  # fmt: skip


def test_what_was_restated_completed_renewed_and_removed_is_there_at_its_time(lake: Lake) -> None:
    times = [now()]
    lake.ingest("a.csv", "symbol,date,close,adj_close,volume\nA,2024-01-02,10,9,\nB,2024-01-02,5,,7\n")
    times.append(now())
    lake.ingest("b.csv", "symbol,date,close\nA,2024-01-02,11\n", replace=True)
    times.append(now())
    lake.ingest("c.csv", "symbol,date,close,adj_close,volume\nA,2024-01-02,11,9.5,100\n")
    times.append(now())
    lake.remove("a.csv")
    bars = [[(r["symbol"], r["close"], r["adj_close"], r["volume"]) for r in lake.read(at)] for at in [*times, None]]
    assert bars == [
        [],
        [("A", 10.0, 9.0, None), ("B", 5.0, None, 7.0)],
        [("A", 11.0, 9.0, None), ("B", 5.0, None, 7.0)],
        [("A", 11.0, 9.5, 100.0), ("B", 5.0, None, 7.0)],
        [("A", 11.0, 9.5, 100.0)],
    ]
    assert [(r["close"], r["replaced_by"], r["change"]) for r in _revisions(lake)] == [
        (10.0, UPLOADS + "b.csv", "replaced"),
        (11.0, UPLOADS + "c.csv", "updated"),
        (5.0, None, "removed"),
    ]


def test_a_file_with_nothing_but_new_and_known_rows_asks_for_no_revisions(lake: Lake) -> None:
    lake.ingest("a.csv", "symbol,date,close,adj_close\nA,2024-01-02,10,9\n")
    lake.lake.gets.clear()
    lake.ingest("b.csv", "symbol,date,close,adj_close\nA,2024-01-02,10,9\nB,2024-01-02,10,9\n")
    assert not [key for key in [*lake.lake.gets, *lake.lake.objects] if key.startswith("price_revisions/")]


def test_sql_of_the_past_takes_any_statement_that_reads(lake: Lake) -> None:
    lake.ingest("a.csv", "symbol,date,close\nA,2024-01-02,10\nA,2023-12-29,9\n")
    at = now()
    lake.ingest("b.csv", "symbol,date,close\nA,2024-01-02,12\n", replace=True)

    def found(statement: str, *parameters: Any, when: datetime = at) -> Any:
        return sql(statement, parameters, settings=lake.settings, as_of=when).to_pylist()

    assert found("SELECT close FROM price_by_date WHERE symbol = ? AND year = ?", "A", 2024) == [{"close": 10.0}]
    assert found("WITH x AS (SELECT max(close) AS m FROM price_by_date) SELECT m FROM x") == [{"m": 10.0}]
    assert found("(SELECT count(*) AS n FROM price_by_date);") == [{"n": 2}]
    assert found("EXPLAIN SELECT 1 AS a FROM price_by_date")
    east = timezone(timedelta(hours=9))
    assert found("SELECT max(close) AS m FROM price_by_date", when=at.astimezone(east)) == [{"m": 10.0}]
    assert sql("SELECT max(close) AS m FROM price_by_date", settings=lake.settings).to_pylist() == [{"m": 12.0}]


@pytest.mark.parametrize(
    ("statement", "as_of", "says"),
    [
        ("SELECT 1", datetime(2024, 1, 1), "no time zone"),  # noqa: DTZ001 - that is what is refused
        ("SELECT 1", date(2024, 1, 1), "no time zone"),
        ("SELECT 1", datetime(9999, 1, 1, tzinfo=UTC), "in the future"),
        ("SELECT * FROM latest_prices", datetime(2024, 1, 1, tzinfo=UTC), "latest_prices does not keep its past"),
        ("SELECT * FROM price_by_date, rejected_records", datetime(2024, 1, 1, tzinfo=UTC), "rejected_records does"),
        ("SELECT * FROM stock_market.price_by_date", datetime(2024, 1, 1, tzinfo=UTC), "without its database"),
        ("SHOW TABLES", datetime(2024, 1, 1, tzinfo=UTC), "for a SELECT"),
    ],
)
def test_what_has_no_past_is_refused(statement: str, as_of: Any, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        as_known(statement, as_of, "stock_market")


def test_a_name_in_a_text_or_a_comment_is_no_table() -> None:
    statement = "SELECT 'latest_prices' AS it -- rejected_records\nFROM price_by_date"
    assert as_known(statement, datetime(2024, 1, 1, tzinfo=UTC), "stock_market").endswith(statement)
