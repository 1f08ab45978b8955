"""Both paths through the deployed functions, each with nothing but the permissions of its own role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.query import sql
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline_tests.deployed import account as see
from stock_pipeline_tests.deployed.account import Account
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = pytest.mark.deployed


def test_daily_prices_from_the_generator_to_sql(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = account.invoke("GenerateStockBatchDataFunction", {"start": "2023-03-01", "end": "2023-03-10"})
    assert (answer["sessions"], answer["written"]) == (8, 8), answer

    def stored() -> int:
        rows = read_partition(account.lake, PRICE_BY_DATE, "year=2023")
        return 0 if rows is None else rows.num_rows

    expected = 8 * len(DEFAULT_SYMBOLS)
    assert eventually(lambda: stored() == expected), account.log()
    for name, value in account.env.items():
        monkeypatch.setenv(name, value)
    found = sql("SELECT count(*) AS n, count(DISTINCT symbol) AS s FROM price_by_date WHERE year = 2023")
    assert found.to_pylist() == [{"n": expected, "s": len(DEFAULT_SYMBOLS)}]


def test_a_vendors_file_calls_the_function(account: Account) -> None:
    assert see.is_triggered_by_a_daily_file(account, 30), account.log()


def test_ticks_from_the_producer_to_the_latest_prices(account: Account) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    answer = account.invoke("WriteRecordsToStreamFunction", {"seconds": 3, "rate": 100})
    assert (answer["failed"], answer["gave_up"]) == (0, False)

    def stored() -> dict[str, tuple[datetime, str]]:
        """The greatest tick of each symbol since the test began, and their number under the name of none."""
        newest: dict[str, tuple[datetime, str]] = {}
        ids: set[str] = set()
        for partition in partitions(account.lake, STREAM_PRICES_HISTORY):
            rows = read_partition(account.lake, STREAM_PRICES_HISTORY, partition)
            for row in [] if rows is None else rows.to_pylist():
                if row["produced_at"] >= began:
                    assert row["event_id"] not in ids
                    ids.add(row["event_id"])
                    tick = (row["produced_at"], row["event_id"])
                    newest[row["symbol"]] = max(tick, newest.get(row["symbol"], tick))
        return newest if len(ids) >= answer["lines"] else {}

    newest = eventually(stored, within=60)
    assert newest, account.log()

    def shown() -> dict[str, tuple[datetime, str]]:
        """What the snapshot, which is written after history, says of these symbols."""
        latest = read_partition(account.lake, LATEST_PRICES, "latest")
        rows = [] if latest is None else latest.to_pylist()
        return {r["symbol"]: (r["produced_at"], r["event_id"]) for r in rows if r["symbol"] in newest}

    assert eventually(lambda: shown() == newest), (shown(), newest)
    assert account.messages("StreamDlqUrl") == []
