"""One ingest of one made-up object in this process; prints the receipt and the peak of its memory, as JSON.

`python -m stock_pipeline_tests.limits.measure daily csv --mib 200 --limit 1024`. The object comes from a file, as it
would from S3: what has not been read is not in memory.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, too_large
from stock_pipeline_tests.support.memory_store import MemoryStore

MIB = 1024 * 1024
NOW = datetime(2024, 6, 3, tzinfo=UTC)
KEYS = {"daily": "daily_prices/uploads/AAPL.csv", "ticks": "stock_stream/2024/06/03/00/x"}


class FileStore(MemoryStore):
    """A staging bucket with one object, which is a file."""

    def __init__(self, file: Path) -> None:
        super().__init__("staging")
        self.file = file

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        info = ObjectInfo(key, "etag", self.file.stat().st_size, NOW)
        if max_bytes is not None and info.size > max_bytes:
            raise too_large(self.bucket, info, max_bytes)
        return StoredObject(info, self.file.read_bytes())


def rows_of(kind: str) -> Iterator[bytes]:
    """Rows without end: 5,000 symbols a session, or a tick each millisecond."""
    if kind == "daily":
        yield b"symbol,date,open,high,low,close,volume\n"
        for session in range(20_000):
            day = date(1950, 1, 2) + timedelta(session)
            yield b"".join(
                b"S%04d,%s,%d.25,%d.75,%d.00,%d.50,%d\n"
                % (n, day.isoformat().encode(), n + 10, n + 10, n + 10, n + 10, n)
                for n in range(5000)
            )
    for block in range(86_400):
        at = f"2024-06-02 {block // 3600:02}:{block // 60 % 60:02}:{block % 60:02}"
        yield b"".join(
            b'{"event_id":"e%d","symbol":"S%04d","price":%d.25,"size":5,"produced_at":"%s.%03d"}\n'
            % (block * 1000 + n, n, n + 10, at.encode(), n)
            for n in range(1000)
        )


def fill(file: BinaryIO, kind: str, what: str, size: int) -> None:
    """Write an object's text of so many bytes: good rows, bad ones, zeros, blank lines, or one long line."""
    if what == "rows":
        written = 0
        for piece in rows_of(kind):
            file.write(piece)
            written += len(piece)
            if written >= size:
                return
    head = next(rows_of("daily")) if kind == "daily" else b""
    good = next(rows_of("ticks")).split(b"\n")[0] + b"\n" if kind == "ticks" else b"AAPL,2024-01-02,1,1,1,1,1\n"
    filler = {
        "zeros": b"0",
        "blank": b"\n",
        "line": b"x",
        "bad": b"S,2024-01-02,1,1,1,x,1\n" if head else b'{"a":1}\n',
    }[what]
    file.write(head + good)
    block = filler * (MIB // len(filler))
    for _ in range(size // MIB):
        file.write(block)
    file.write(b"\n" + good)


def make(file: Path, kind: str, what: str, pack: str, size: int) -> None:
    """Write the object, packed as asked: rows fast, what is made to do harm as tightly as it goes."""
    level = 1 if what == "rows" else 9
    if pack == "sparse":
        with file.open("wb") as sparse:
            sparse.truncate(size)
    elif pack == "gzip":
        with gzip.open(file, "wb", compresslevel=level) as packed:
            fill(packed, kind, what, size)
    elif pack == "zip":
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive,
            archive.open("x.csv", "w", force_zip64=True) as member,
        ):
            fill(member, kind, what, size)
    else:
        with file.open("wb") as plain:
            fill(plain, kind, what, size)


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("kind", choices=("daily", "ticks"))
    arguments.add_argument("what", choices=("rows", "bad", "zeros", "blank", "line"))
    arguments.add_argument("--pack", choices=("plain", "gzip", "zip", "sparse"), default="plain")
    arguments.add_argument("--mib", type=int, default=100, help="text of the object")
    arguments.add_argument("--limit", type=int, default=1024, help="STOCK_PIPELINE_MAX_OBJECT_MB")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "object"
        make(file, given.kind, given.what, given.pack, given.mib * MIB)
        size, before = file.stat().st_size, peak()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew here
        ingest = ingest_daily_prices if given.kind == "daily" else ingest_ticks
        (receipt,) = ingest(
            [KEYS[given.kind]], staging=FileStore(file), lake=MemoryStore("lake"), max_bytes=given.limit * MIB, now=NOW
        )
    print(
        json.dumps(
            {
                "stored_mib": round(size / MIB, 2),
                "making_mib": round(before),
                "peak_mib": round(peak()),
                "rows": receipt.rows,
                "rejected": receipt.rejected,
                "refused": receipt.refused,
                "seconds": round(receipt.seconds, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
