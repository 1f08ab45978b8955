"""Processes that read the tables while others write: every object parses whole, and nothing ever goes backwards."""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.parquet import decode
from stock_pipeline.lake.partitions import partition_key, partitions
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline_tests.support import law

LIST_EACH = 200  # reads
OF_SNAPSHOT = 0.75  # of all reads


@dataclass
class Watch:
    """One object of a table: what was in it when it was last read."""

    table: Table
    partition: str
    etag: str | None = None
    rows: pa.Table | None = None

    def read(self, lake: S3Store) -> bool:
        """Read the object whole; returns whether it had changed. Raises AssertionError when it went backwards."""
        name = f"{self.partition} of {self.table.name}"
        try:
            found = lake.get(partition_key(self.table, self.partition))
        except ObjectNotFound:
            assert self.etag is None, f"{name} has vanished"
            return False
        rows = self._comparable(decode(found.data, self.table, found.info.key))
        assert pc.count_distinct(rows["key"]).as_py() == rows.num_rows, f"{name} has a key twice"
        if found.info.etag == self.etag:
            return False
        if self.rows is not None:
            at = pc.index_in(self.rows["key"], value_set=rows["key"])
            assert at.null_count == 0, f"{name} has lost {at.null_count} keys"
            self._assert_forward(self.rows, rows.take(at), name)
        self.etag, self.rows = found.info.etag, rows
        return True

    def _comparable(self, rows: pa.Table) -> pa.Table:
        """The rows without provenance and without dictionaries, which may differ, and with their key in one column."""
        rows = rows.select(list(dict.fromkeys([*self.table.key, *self.table.values, *self.table.order])))
        plain = [column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column for column in rows.columns]
        rows = pa.table(plain, rows.column_names)
        key = pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in self.table.key), " ")
        return rows.append_column("key", key)

    def _assert_forward(self, before: pa.Table, after: pa.Table, name: str) -> None:
        """Row by row the same, or, where the greatest is kept, the same or greater."""
        if self.table.keep != "greatest":
            assert before.combine_chunks().equals(after.combine_chunks()), f"{name} has changed rows"
            return
        for then, now in zip(before.to_pylist(), after.to_pylist(), strict=True):
            assert law.order(now) > law.order(then) or now == then, f"{name} went from {then} to {now}"


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
