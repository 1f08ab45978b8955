"""Makes the inputs of the workloads: `python -m benchmarks.inputs <what> <folder> <arguments>`.

The package's own simulator makes everything, with fixed seeds, so the same arguments give the same bytes.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stock_pipeline.ingest.commit import with_provenance
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.folder_store import FolderStore
from stock_pipeline.lake.packing import pack
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import commit, partition_key, read_logged
from stock_pipeline.lake.transforms import bucket_partition, year_partition
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, TIMESTAMP
from stock_pipeline.simulate.daily import default_symbols, simulate_daily_prices, to_csv
from stock_pipeline.simulate.ticks import live_ticks, simulate_ticks, to_json_lines
from stock_pipeline.staging.keys import session_prefix

YEAR, SEED, SESSIONS = 2024, 7, 252
LOADED = datetime(2025, 1, 2, tzinfo=UTC)
TICK_DAY = date(2024, 6, 3)
RATE = 5000
"""Ticks a second in an object that arrives live. A million of them span 200 seconds, so they go into one or two history
objects.
"""


def in_order(rows: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """The rows sorted by these columns."""
    return rows.take(pa.array(np.argsort(pack(rows, columns)[0], kind="stable")))


def daily(folder: Path, rows: int, history_years: int) -> None:
    """A year's raw CSV and lakes to bring it into.

    `raw.csv` has 1 % bad rows (each with one defect that every reader can be asked to find) and 0.5 % repeated ones;
    `clean.csv` the same number of good rows, for the floor. `lake` is empty, `lake-stored` holds 30 % of the year's
    rows, `lake-history` holds other years of the same size.
    """
    symbols = default_symbols(rows // SESSIONS)
    year = simulate_daily_prices(symbols, date(YEAR, 1, 1), date(YEAR, 12, 31), SEED)
    lines = to_csv(year).splitlines(keepends=True)
    (folder / "clean.csv").write_bytes(b"".join(lines))
    chance = random.Random(SEED)
    header, body = lines[0], lines[1:]
    for at in sorted(chance.sample(range(len(body)), len(body) // 200), reverse=True):
        body.insert(at, body[at])
    for number, at in enumerate(chance.sample(range(len(body)), len(body) // 100)):
        body[at] = _broken_row(body[at], number)
    (folder / "raw.csv").write_bytes(b"".join([header, *body]))
    (folder / "lake").mkdir()
    stored = np.sort(np.random.default_rng(SEED).choice(year.num_rows, year.num_rows * 3 // 10, replace=False))
    _store(folder / "lake-stored", YEAR, year.take(stored))
    (folder / "lake-history").mkdir()
    for past in range(YEAR - history_years, YEAR):
        rows_of_year = simulate_daily_prices(symbols, date(past, 1, 1), date(past, 12, 31), SEED)
        _store(folder / "lake-history", past, rows_of_year)


def _broken_row(line: bytes, number: int) -> bytes:
    symbol, day, opened, high, low, close, volume = line.rstrip(b"\n").split(b",")
    defects = (
        (b"", day, opened, high, low, close, volume),
        (symbol, b"2024-02-30", opened, high, low, close, volume),
        (symbol, day, opened, high, low, b"n.a.", volume),
        (symbol, day, opened, high, low, b"", volume),
        (symbol, day, opened, high, low, b"-1.00", volume),
        (symbol, day, opened, low, str(float(high) + 1).encode(), close, volume),
        (symbol, day, opened, high, low, close, b"-5"),
    )
    return b",".join(defects[number % len(defects)]) + b"\n"


def large_year(folder: Path, symbols: int, added: int) -> None:
    """A year of many symbols without its last session, and the raw CSV of that session, with `added` rows."""
    names = default_symbols(symbols)
    year = simulate_daily_prices(names, date(YEAR, 1, 1), date(YEAR, 12, 30), SEED)
    _store(folder / "lake", YEAR, year)
    last = simulate_daily_prices(names[:added], date(YEAR, 12, 31), date(YEAR, 12, 31), SEED)
    (folder / "raw.csv").write_bytes(to_csv(last))


def _store(lake: Path, year: int, rows: pa.Table) -> None:
    """Write rows (symbol, date, prices, volume) as the year's object, as the pipeline would."""
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns["symbol"] = rows["symbol"].dictionary_encode().combine_chunks()
    fields = [PRICE_BY_DATE.schema.field(name) for name in PRICE_BY_DATE.given]
    given = [columns.get(f.name, pa.nulls(rows.num_rows, f.type)) for f in fields]
    good = pa.table(given, schema=pa.schema(fields))
    owners = np.zeros(rows.num_rows, np.int32)
    table = with_provenance(good, ["daily_prices/uploads/earlier.csv"], owners, PRICE_BY_DATE, LOADED)
    path = lake / partition_key(PRICE_BY_DATE, year_partition(year))
    path.parent.mkdir(parents=True)
    path.write_bytes(encode(in_order(table, PRICE_BY_DATE.sort), PRICE_BY_DATE))


def ticks(folder: Path, number: int, objects: int) -> None:
    """Ticks of 500 symbols, the same ones in every form. The names of the objects tell the form."""
    lines = _live_lines(number)
    (folder / "clean.ndjson").write_bytes(b"".join(lines))
    broken = list(lines)
    for place, at in enumerate(random.Random(SEED).sample(range(number), number // 100)):
        line = lines[at]
        broken[at] = line[:-10] + b"\n" if place % 2 else line.replace(b'"price":', b'"price":-')
    text = b"".join(broken)
    (folder / "malformed.ndjson").write_bytes(text)
    (folder / "malformed.ndjson.gz").write_bytes(gzip.compress(text, 6))
    for name, all_lines in (("many", broken), ("many-clean", lines)):
        (folder / name).mkdir()
        for n in range(objects):
            part = all_lines[n * number // objects : (n + 1) * number // objects]
            (folder / name / f"{n:05}.ndjson").write_bytes(b"".join(part))
    (folder / "reordered.ndjson").write_bytes(b"".join(_reordered(lines, [(4, 3, 0, 2, 1)])))
    (folder / "shuffled.ndjson").write_bytes(b"".join(_reordered(lines, list(itertools.permutations(range(5))))))
    day = simulate_ticks(default_symbols(16), TICK_DAY, SEED, number // 16)
    (folder / "day.ndjson").write_bytes(b"".join(to_json_lines(day)))


def _live_lines(number: int) -> list[bytes]:
    lines: list[bytes] = []
    for batch in live_ticks(default_symbols(500), SEED, RATE, datetime(2024, 6, 3, 14, 30, tzinfo=UTC)):
        lines += to_json_lines(batch)
        if len(lines) >= number:
            return lines[:number]
    raise AssertionError("live ticks do not end")


def _reordered(lines: Sequence[bytes], orders: Sequence[tuple[int, ...]]) -> list[bytes]:
    """The lines with their keys in one of these orders, chosen again for each line."""
    chance = random.Random(SEED)
    made = []
    for line in lines:
        pairs = list(json.loads(line).items())
        order = chance.choice(orders)
        made.append(json.dumps(dict(pairs[n] for n in order), separators=(",", ":")).encode() + b"\n")
    return made


def history(folder: Path, symbols: int, millions: int) -> None:
    """A tick history of a million ticks a day: one simulated day, moved to other days; an object an hour."""
    made = simulate_ticks(default_symbols(symbols), TICK_DAY, SEED, 1_000_000 // symbols)
    good = made.select(["event_id", "symbol", "price", "size", "produced_at"])
    good = good.set_column(1, "symbol", good["symbol"].dictionary_encode()).combine_chunks()
    good = good.set_column(3, "size", good["size"].cast("double"))
    owners = np.zeros(good.num_rows, np.int32)
    rows = with_provenance(good, ["stock_stream/all"], owners, STREAM_PRICES_HISTORY, LOADED)
    rows = in_order(rows, STREAM_PRICES_HISTORY.sort)
    hours = rows["produced_at"].cast(pa.int64()).to_numpy() // 3_600_000_000 % 24
    for hour in np.unique(hours).tolist():
        part = rows.take(pa.array(np.flatnonzero(hours == hour)))
        for back in range(millions):
            start = datetime.combine(TICK_DAY - timedelta(days=back), time(hour), UTC)
            times = pc.subtract(part["produced_at"], pa.scalar(timedelta(days=back)))
            moved = part.set_column(4, STREAM_PRICES_HISTORY.schema.field("produced_at"), times.cast(TIMESTAMP))
            path = folder / "lake" / partition_key(STREAM_PRICES_HISTORY, bucket_partition(start))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(moved, STREAM_PRICES_HISTORY))


def layouts(folder: Path, symbols: int, years: int) -> None:
    """The same daily prices in three layouts: the pipeline's, by date with default settings, a file a session."""
    names = default_symbols(symbols)
    for layout in ("ours", "unsorted", "files"):
        (folder / layout).mkdir()
    for year in range(YEAR - years + 1, YEAR + 1):
        rows = simulate_daily_prices(names, date(year, 1, 1), date(year, 12, 31), SEED)
        _store(folder / "ours", year, rows)
        key = partition_key(PRICE_BY_DATE, year_partition(year))
        stored = pq.read_table(folder / "ours" / key, partitioning=None)
        unsorted = in_order(stored, ("date", "symbol"))
        for layout in ("unsorted", "files"):
            (folder / layout / key).parent.mkdir(parents=True)
        pq.write_table(unsorted, folder / "unsorted" / key)
        for number in range(0, unsorted.num_rows, len(names)):
            part = unsorted.slice(number, len(names))
            pq.write_table(part, (folder / "files" / key).with_name(f"{number // len(names):03}.parquet"))


def mended_years(folder: Path, years: int, symbols: int) -> None:
    """Years of daily prices as a file a session, and the lake that ingesting them made. Then one close in a hundred is
    another one, as if a rule had been wrong; a rebuild mends it.
    """
    staging, lake = FolderStore(folder / "staging"), FolderStore(folder / "lake")
    names = default_symbols(symbols)
    for year in range(YEAR - years + 1, YEAR + 1):
        made = in_order(simulate_daily_prices(names, date(year, 1, 1), date(year, 12, 31), SEED), ("date", "symbol"))
        keys = []
        for start in range(0, made.num_rows, symbols):
            session = made.slice(start, symbols)
            keys.append(f"{session_prefix(str(session['date'][0]))}/prices.csv")
            staging.put(keys[-1], to_csv(session))
        ingest_daily_prices(keys, staging=staging, lake=lake, now=LOADED)
        rows, etag, log = read_logged(lake, PRICE_BY_DATE, year_partition(year))
        assert rows is not None
        wrong = np.arange(rows.num_rows) % 100 == 0
        close = pa.array(np.where(wrong, rows["close"].to_numpy() + 0.01, rows["close"].to_numpy()))
        at = rows.schema.get_field_index("close")
        assert commit(
            lake, PRICE_BY_DATE, year_partition(year), rows.set_column(at, rows.schema.field(at), close), etag, log
        )


MAKERS: Mapping[str, Callable[..., None]] = {
    "daily": daily, "mended_years": mended_years, "large_year": large_year, "ticks": ticks, "history": history,
    "layouts": layouts,
}  # fmt: skip


if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
