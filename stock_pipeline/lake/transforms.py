"""Rows → the partition of each row, and the names of partitions. Iceberg calls this a transform.

A transform gives the partition of each row as an index into a list of partition names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from zlib import crc32

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Ints, as_numpy

Transform = Callable[[pa.Table], tuple[Ints, list[str]]]
"""Rows → (for each row an index into the names, the names of partitions)."""

SNAPSHOT = "latest"
"""The one partition of `latest_prices`."""

_MINUTE = 60_000_000  # microseconds
_YEAR = re.compile(r"year=(\d{4})", re.ASCII)
_DAY = re.compile(r"year=(\d{4})/month=(\d\d)/day=(\d\d)(?:/\d{4}(?:-\d\d)?)?", re.ASCII)


def year_partition(year: int) -> str:
    """The partition of a year: `year=2024`."""
    return f"year={year:04d}"


def year_of(partition: str) -> int:
    """The year of a partition that `year_partition` named. Raises ValueError for any other name."""
    return int(_matched(_YEAR, partition)[1])


def day_partition(day: date) -> str:
    """The common beginning of the partitions of a day of history: `year=2024/month=06/day=03`."""
    return f"{year_partition(day.year)}/month={day:%m}/day={day:%d}"


def bucket_partition(start: datetime) -> str:
    """The partition of history that begins at a moment in UTC: `year=2024/month=06/day=03/1430`."""
    return f"{day_partition(start)}/{start:%H%M}"


def day_of(partition: str) -> date:
    """The day of a partition that `day_partition` or `bucket_partition` named. Raises ValueError for any other name."""
    year, month, day = _matched(_DAY, partition).groups()
    return date(int(year), int(month), int(day))


def _matched(pattern: re.Pattern[str], partition: str) -> re.Match[str]:
    if found := pattern.fullmatch(partition):
        return found
    raise ValueError(f"{partition!r} is not named as partitions are")


def by_year(rows: pa.Table) -> tuple[Ints, list[str]]:
    """The year of each bar by its column `date`."""
    days = np.concatenate([np.zeros(0, np.int32), *(as_numpy(chunk, np.int32) for chunk in rows["date"].chunks)])
    if not len(days):
        return days.astype(np.int64), []
    # By the days from the first to the last: there are far fewer of them than rows.
    first, last = int(days.min()), int(days.max())
    years = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return years[days - first] - years[0], [year_partition(year) for year in range(years[0], years[-1] + 1)]


def by_bucket(rows: pa.Table, minutes: int, shards: int = 1) -> tuple[Ints, list[str]]:
    """The event-time bucket of each tick by its column `produced_at`: `year=2024/month=06/day=03/1430`.

    With more than one shard, also the shard of its column `symbol`, `crc32(symbol) % shards`: `…/1430-05`. The names
    are sorted.
    """
    times = [as_numpy(chunk, np.int64) for chunk in rows["produced_at"].chunks if len(chunk)]
    length = minutes * _MINUTE
    buckets = sorted({int(bound(micros)) // length for micros in times for bound in (np.min, np.max)})
    codes = np.zeros(rows.num_rows, np.int64)
    if len(buckets) > 1 or (buckets and shards > 1):
        codes = np.concatenate([micros // length for micros in times])
        if shards > 1:
            codes = codes * shards + _shards(rows["symbol"], shards)
        found = np.unique(codes)
        buckets, codes = found.tolist(), np.searchsorted(found, codes)
    if shards == 1:
        return codes, [_bucket(start, minutes) for start in buckets]
    return codes, [f"{_bucket(code // shards, minutes)}-{code % shards:02d}" for code in buckets]


def _bucket(number: int, minutes: int) -> str:
    return bucket_partition(datetime.fromtimestamp(number * minutes * 60, UTC))


def _shards(symbols: pa.ChunkedArray, shards: int) -> Ints:
    """The shard of each symbol. The hash is computed once for each distinct symbol of a chunk."""
    found = [np.zeros(0, np.int64)]
    for chunk in symbols.chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        of = np.array([crc32(symbol.encode()) % shards for symbol in coded.dictionary.to_pylist()], np.int64)
        found.append(of[coded.indices.to_numpy()])
    return np.concatenate(found)
