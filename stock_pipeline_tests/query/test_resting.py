"""The tables of a local AWS that does not run: read from its files, without starting anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.rejected_records import write_rejects
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.local import LocalFolders
from stock_pipeline.query import read_prices, sql
from stock_pipeline.query.resting import resting_lake
from stock_pipeline.schemas import PRICE_BY_DATE, RECORDED

NOW = datetime(2024, 6, 1, tzinfo=UTC)
READS = """
import time
began = time.monotonic()
from stock_pipeline.query import read_prices
assert read_prices("A").close.tolist() == [10.5]
print(time.monotonic() - began)
began = time.monotonic()
read_prices("A")
print(time.monotonic() - began)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment that names no AWS."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "STOCK_PIPELINE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STOCK_PIPELINE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def lake(home: Path) -> Path:
    """The folder of a lake with one bar, as the emulator keeps it: the bytes, and a sidecar beside them."""
    folder = LocalFolders(home).objects / "000000000000" / "stock-pipeline-local-lake-000000000000-us-east-1-an"
    row = {"symbol": "A", "date": date(2024, 1, 2), "close": 10.5, "source": "f", "etl_loading_ts": NOW}
    data = encode(pa.Table.from_pylist([row], PRICE_BY_DATE.schema), PRICE_BY_DATE)
    file = folder / partition_key(PRICE_BY_DATE, year_partition(2024))
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    file.with_name(file.name + ".meta.json").write_text("{}")
    file.with_name(file.name + ".tmp").write_bytes(b"of a write that a crash stopped")
    return folder


def test_the_tables_are_read_and_nothing_is_started_or_written(home: Path, lake: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert read_prices("A").close.tolist() == [10.5]
    assert sql("SELECT count(*) AS n FROM price_by_date WHERE year = 2024").to_pylist() == [{"n": 1}]
    assert sql("SELECT count(*) AS n FROM latest_prices").to_pylist() == [{"n": 0}]
    assert read_prices("A", as_of=NOW).empty is False
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_records_of_any_source_are_read(home: Path, lake: Path) -> None:
    store = resting_lake(home)
    assert store
    source = ObjectInfo("daily_prices/uploads/two words + ü.csv", "e", 1, NOW)
    record = {"source": source.key, "line": 2, "reason": "bad", "raw": "x", "etl_loading_ts": NOW, "detail": ""}
    known = {name: value for name, value in record.items() if name in RECORDED.names}
    write_rejects(store, PRICE_BY_DATE, source, pa.Table.from_pylist([known], RECORDED), NOW)
    found = sql("SELECT source, line, reason FROM rejected_records").to_pylist()
    assert found == [{"source": source.key, "line": 2, "reason": "bad"}]


@pytest.mark.usefixtures("home")
def test_without_a_lake_the_remedy_is_told() -> None:
    with pytest.raises(QueryError, match=r"no tables on this machine yet: run `make demo`.*STOCK_PIPELINE_LAKE_BUCKET"):
        read_prices("A")


@pytest.mark.usefixtures("lake")
def test_the_first_read_of_a_process_takes_no_start_of_an_aws() -> None:
    """Generous bounds; docs/performance.md has what was measured."""
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", READS], check=True, capture_output=True, text=True).stdout.split()
    first, second = map(float, told)
    assert second < first < time.monotonic() - began < 20
