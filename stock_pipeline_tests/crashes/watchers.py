"""Processes that read the tables while others write: every object parses whole, and nothing ever goes backwards."""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.ingest_ticks import SNAPSHOT
from stock_pipeline.lake.parquet import decode
from stock_pipeline.lake.partitions import partition_key, partitions
from stock_pipeline.lake.store import S3Store
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table

LIST_EACH = 200  # reads
OF_SNAPSHOT = 0.75  # of all reads
Rows = dict[Any, tuple[Any, ...]]


@dataclass
class Watch:
    """One object of a table: what was in it when it was last read."""

    table: Table
    partition: str
    etag: str | None = None
    rows: Rows = field(default_factory=dict)

    def read(self, lake: S3Store) -> bool:
        """Read the object whole; returns whether it had changed. Raises AssertionError when it went backwards."""
        try:
            found = lake.get(partition_key(self.table, self.partition))
        except ObjectNotFound:
            assert self.etag is None, f"{self.partition} of {self.table.name} has vanished"
            return False
        table = decode(found.data, self.table)
        if found.info.etag == self.etag:
            return False
        names = (*self.table.key, *self.table.values)
        keys = list(zip(*(table[name].to_pylist() for name in self.table.key), strict=True))
        rows = dict(zip(keys, zip(*(table[name].to_pylist() for name in names), strict=True), strict=True))
        assert len(rows) == table.num_rows, f"{self.partition} of {self.table.name} has a key twice"
        if self.table.keep == "greatest":
            order = [names.index(name) for name in self.table.order]
            for key, before in self.rows.items():
                assert key in rows, f"{key} has left the snapshot"
                then, now = (tuple(row[at] for at in order) for row in (before, rows[key]))
                assert now > then or rows[key] == before, f"{key} went from {then} to {now}"
        else:
            assert self.rows.items() <= rows.items(), f"{self.partition} of {self.table.name} lost or changed rows"
        self.etag, self.rows = found.info.etag, rows
        return True


def watch(env: Mapping[str, str], at: int, reads: Any, changes: Any, stop: Event, output: str) -> None:
    """Read one object after the other until told to stop; most reads are of the snapshot, which changes most."""
    sys.stdout = sys.stderr = Path(output).open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)
    os.environ.update(env)
    lake, chance = S3Store(env["STOCK_PIPELINE_LAKE_BUCKET"]), random.Random(at)
    snapshot, others = Watch(LATEST_PRICES, SNAPSHOT), dict[tuple[str, str], Watch]()
    try:
        while not stop.is_set():
            if reads[at] % LIST_EACH == 0 or not others:
                for table in (STREAM_PRICES_HISTORY, PRICE_BY_DATE):
                    for name in partitions(lake, table):
                        others.setdefault((table.name, name), Watch(table, name))
            one = snapshot if chance.random() < OF_SNAPSHOT or not others else chance.choice(list(others.values()))
            if not others:
                time.sleep(0.05)
            changes[at] += one.read(lake)
            reads[at] += 1
    except Exception:
        traceback.print_exc()
        raise
