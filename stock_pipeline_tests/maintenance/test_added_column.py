"""A column is added: one line in `schemas.py`, one name in the parser, and both versions beside each other on one lake.

The newer version is a copy of the package with just these two edits, run by a Python of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import stock_pipeline
from stock_pipeline.errors import NewerSchema
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support import older_lake
from stock_pipeline_tests.support.memory_store import MemoryStore

PACKAGE = Path(stock_pipeline.__file__).parent
NOW = datetime(2024, 6, 10, tzinfo=UTC)
UPLOADS = "daily_prices/uploads/"
Row = dict[str, Any]

RUN = """
import json, sys
from datetime import datetime
from pathlib import Path
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.query import duckdb_engine as duck
from stock_pipeline_tests.support import older_lake

folder, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
staging, lake = older_lake.opened(folder)
told = []
for what, argument in json.loads(sys.argv[3]):
    if what == "sql":
        told.append(duck.run(argument, (), lake, "stock_market").to_pylist())
    elif what == "rebuild":
        told.append([r.to_record() for r in rebuild_year(argument, staging=staging, lake=lake, now=now)])
    else:
        ingest = ingest_ticks if argument.startswith("stock_stream/") else ingest_daily_prices
        told += [r.to_record() for r in ingest([argument], staging=staging, lake=lake, now=now)]
older_lake.saved(folder, staging, lake)
print(json.dumps(told, default=str))
"""


@dataclass
class Versions:
    """One lake in a folder, the version that is tested here, and a newer one whose tables have a column more."""

    folder: Path
    root: Path

    def edit(self, file: str, old: str, new: str) -> None:
        """The newer version is this one but for such edits."""
        path = self.root / file
        source = path.read_text()
        assert source.count(old) == 1, f"{old!r} is not once in {file}"
        path.write_text(source.replace(old, new))

    def newer(self, *work: tuple[str, Any], now: datetime = NOW) -> list[Any]:
        """What the newer version answers to ("ingest", key), ("rebuild", year) and ("sql", statement)."""
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        command = [sys.executable, "-c", RUN, str(self.folder), now.isoformat(), json.dumps(work)]
        done = subprocess.run(command, env=environment, cwd=self.root, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def stage(self, key: str, text: str) -> str:
        path = self.folder / "staging" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return key

    @property
    def buckets(self) -> tuple[MemoryStore, MemoryStore]:
        return older_lake.opened(self.folder)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    root = tmp_path / "newer"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, root / "stock_pipeline", ignore=ignored)
    tests = root / "stock_pipeline_tests"
    tests.mkdir()
    shutil.copytree(Path(older_lake.__file__).parent, tests / "support", ignore=ignored)
    (tests / "__init__.py").touch()
    folder = tmp_path / "buckets"
    shutil.copytree(older_lake.V1, folder)
    made = Versions(folder, root)
    volume = f'"{PRICE_BY_DATE.column("volume").description}", nullable=True, since=2),\n'
    vwap = '        Column("vwap", pa.float64(), "average price by volume", nullable=True, since=99),\n'
    made.edit("stock_pipeline/schemas.py", volume, volume + vwap)
    made.edit("stock_pipeline/parse/daily/columns.py", '    "period": (', '    "vwap": (("vwap",),),\n    "period": (')
    return made


def test_a_column_of_daily_prices_is_a_line_of_the_schema_and_a_name(versions: Versions) -> None:
    key = versions.stage(
        f"{UPLOADS}6-vwap.csv",
        "symbol,date,close,vwap\nMSFT,2024-01-02,372.25,371.5\nMSFT,2024-01-03,373.25,\nNEW,2024-01-02,10,9.75\n",
    )
    receipt, rows, old = versions.newer(
        ("ingest", key),
        (
            "sql",
            "SELECT symbol, date, close, vwap FROM price_by_date WHERE vwap IS NOT NULL AND year = 2024 ORDER BY 1",
        ),
        ("sql", "SELECT count(*) AS bars, count(vwap) AS vwaps FROM price_by_date WHERE year = 2023"),
    )
    assert [receipt[name] for name in ("rows", "inserted", "updated", "duplicates")] == [3, 1, 1, 1]
    assert rows == [
        {"symbol": "MSFT", "date": "2024-01-02", "close": 372.25, "vwap": 371.5},
        {"symbol": "NEW", "date": "2024-01-02", "close": 10.0, "vwap": 9.75},
    ]
    assert old == [{"bars": 751, "vwaps": 0}]


def test_an_older_writer_beside_a_newer_one_loses_nothing(versions: Versions) -> None:
    key = versions.stage(f"{UPLOADS}6-vwap.csv", "symbol,date,close,vwap\nMSFT,2024-01-02,372.25,371.5\n")
    versions.newer(("ingest", key))
    staging, lake = versions.buckets
    before = dict(lake.objects)
    staging.put(f"{UPLOADS}7.csv", b"symbol,date,close\nMSFT,2024-02-01,1\nMSFT,2023-02-01,1\n")
    told = r"price_by_date/year=2024/prices.parquet holds columns that this version does not know \(vwap\)"
    for work in (
        lambda: ingest_daily_prices([f"{UPLOADS}7.csv"], staging=staging, lake=lake, now=NOW),
        lambda: rebuild_year(2024, staging=staging, lake=lake, now=NOW),
    ):
        with pytest.raises(NewerSchema, match=told):
            work()
    # It reads, and it writes where the newer version has not written yet.
    rows = read_partition(lake, PRICE_BY_DATE, "year=2024")
    assert rows is not None
    assert rows.schema.equals(PRICE_BY_DATE.schema)
    unchanged = {k for k, found in before.items() if lake.objects[k].data == found.data}
    assert set(before) - unchanged <= {"price_by_date/year=2023/prices.parquet"}

    older_lake.saved(versions.folder, staging, lake)
    (receipt, rows) = versions.newer(
        ("ingest", f"{UPLOADS}7.csv"),
        ("sql", "SELECT date, close, vwap FROM price_by_date WHERE symbol = 'MSFT' AND date IN ('2024-01-02', "
                "'2024-02-01', '2023-02-01') ORDER BY date"), now=NOW + timedelta(1),
    )  # fmt: skip
    assert receipt["inserted"] + receipt["duplicates"] == 2
    assert rows == [
        {"date": "2023-02-01", "close": 1.0, "vwap": None},
        {"date": "2024-01-02", "close": 372.25, "vwap": 371.5},
        {"date": "2024-02-01", "close": 1.0, "vwap": None},
    ]


def test_a_year_is_rebuilt_with_the_column_that_its_files_had_all_along(versions: Versions) -> None:
    key = versions.stage(f"{UPLOADS}6-vwap.csv", "symbol,date,close,vwap\nMSFT,2024-01-02,372.25,371.5\n")
    staging, lake = versions.buckets
    ingest_daily_prices([key], staging=staging, lake=lake, now=NOW)
    older_lake.saved(versions.folder, staging, lake)
    _, rows = versions.newer(
        ("rebuild", 2024), ("sql", "SELECT vwap FROM price_by_date WHERE symbol = 'MSFT' AND vwap IS NOT NULL")
    )
    assert rows == [{"vwap": 371.5}]


def test_history_takes_a_column_that_no_message_fills(versions: Versions) -> None:
    size = '        Column("size", pa.float64(), "amount traded: shares, or a fraction of a coin", nullable=True),\n'
    versions.edit(
        "stock_pipeline/schemas.py", size, size + '        Column("vwap", pa.float64(), "", nullable=True, since=99),\n'
    )
    key = versions.stage(
        "stock_stream/2024/06/03/15/x.jsonl",
        '{"event_id":"event-0200","symbol":"NVDA","price":121,"produced_at":"2024-06-03T14:41:00Z"}\n',
    )
    receipt, rows = versions.newer(
        ("ingest", key), ("sql", "SELECT event_id, vwap FROM stream_prices_history WHERE symbol = 'NVDA' ORDER BY 1")
    )
    assert receipt["inserted"] == 1
    assert rows == [{"event_id": "event-0100", "vwap": None}, {"event_id": "event-0200", "vwap": None}]
    lake = versions.buckets[1]
    assert (
        sum(len(read_partition(lake, STREAM_PRICES_HISTORY, n) or ()) for n in partitions(lake, STREAM_PRICES_HISTORY))
        == 32
    )
