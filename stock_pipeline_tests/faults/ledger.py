"""What every commit did to the tables. A model in plain Python judges each commit at once.

Nothing here calls the code under test: objects are read only with pyarrow, and rows are compared as tuples.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import pyarrow.parquet as pq

from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.receipts import Receipt
from stock_pipeline_tests.faults.inputs import Record, Source
from stock_pipeline_tests.support import law
from stock_pipeline_tests.support.memory_store import MemoryStore

PRICES, REVISIONS, HISTORY, CORRECTIONS, SNAPSHOT, REJECTS = (
    "price_by_date/",
    "price_revisions/",
    "price_by_date_stream/",
    "trade_corrections/",
    "latest_stream_prices/",
    "rejected_records/",
)
INGEST = timedelta(microseconds=50)
"""Ingests begin at least so far apart; in one of them, loading times differ by less."""
NEXT = timedelta(microseconds=1)
"""A row that takes the place of one with a later loading time gets the next one: it does not say whose it is."""

LAYOUT = f"{HISTORY}_layout.json"
Row = dict[str, Any]
Place = tuple[str, datetime, str]  # where a row is, and from where: its source, its loading time and its object's key


@dataclass
class Ledger:
    """The versions of staged objects, the rows of the tables as of their last commit, and what was wrong with any."""

    staging: MemoryStore
    lake: MemoryStore
    sources: dict[str, dict[str, Source]] = field(default_factory=dict)  # by key, then by ETag, in their order
    restated: set[str] = field(default_factory=set)
    rebuilt: bool = False
    restored: bool = False  # somebody puts old versions of objects back in this schedule
    broken_off: dict[str, float] = field(default_factory=dict)  # when the last ingest of an object did not end
    problems: list[str] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)  # by key of the object
    versions: dict[str, list[list[Row]]] = field(default_factory=dict)
    stored: Counter[Place] = field(default_factory=Counter)  # rows that were written, new or changed
    new: Counter[tuple[datetime, str]] = field(default_factory=Counter)  # keys that were new, by time and object
    commits: Counter[str] = field(default_factory=Counter)  # by key of the object
    bars: dict[tuple[Any, ...], list[Row]] = field(default_factory=dict)  # by key, all that was ever stored, in order
    receipts: dict[str, Receipt] = field(default_factory=dict)  # those that ingests returned, by id
    notified: set[tuple[str, str]] = field(default_factory=set)  # object and ETag
    damaged: dict[str, bytes] = field(default_factory=dict)  # objects that cannot be read now, as they were before
    ever_damaged: set[str] = field(default_factory=set)
    told: set[tuple[str, str]] = field(default_factory=set)  # object and ETag of the receipts in the lineage queue

    def __post_init__(self) -> None:
        self.lake.after_put = self._committed

    def stage(self, source: Source) -> ObjectInfo:
        etag = self.staging.put(source.key, source.data)
        versions = self.sources.setdefault(source.key, {})
        versions.pop(etag, None)
        versions[etag] = source
        return self.staging.objects[source.key].info

    def rows(self, prefix: str) -> list[Row]:
        return [row for key, rows in sorted(self.tables.items()) if key.startswith(prefix) for row in rows]

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def written(self, now: datetime, prices: bool, source: str = "") -> tuple[int, int]:
        """How many rows an ingest of prices, or of ticks, wrote for certain and how many of them were new, from one
        source or from all.

        A known limit: rows do not count if others had completed all of its rows in that object. When the reply to the
        write was lost, too, the ingest cannot tell that they were its own.
        """
        mine = [
            place
            for place in self.stored
            if of_ingest(place[1], now) and source in ("", place[0]) and place[2].startswith(PRICES) == prices
        ]
        keys = {key for *_, key in mine if any(of_ingest(row["etl_loading_ts"], now) for row in self.tables[key])}
        new = sum(count for (at, key), count in self.new.items() if key in keys and of_ingest(at, now))
        return sum(self.stored[p] for p in mine if p[2] in keys), new

    def _count(self, key: str, row: Row, *, new: bool) -> None:
        self.stored[row["source"], row["etl_loading_ts"], key] += 1
        self.new[row["etl_loading_ts"], key] += new

    def _committed(self, key: str) -> None:
        if "/_" in key:  # the layout, and notes of how far a call came
            self.judge_places()
            return
        self.commits[key] += 1
        if key in self.damaged:
            self.problem(f"{key} was damaged, and somebody wrote over it")
            return
        before, now = self.tables.get(key, []), read(self.lake.objects[key].data)
        self.tables[key] = now
        past = self.versions.setdefault(key, [])
        put_back = self.restored and not key.startswith(REJECTS) and _timeless(now) in map(_timeless, past)
        past.append(now)
        if put_back:  # what it lacks must come back; the verdict says whether it did
            for row in now if key.startswith(PRICES) else ():
                self.bars.setdefault((row["symbol"], row["date"]), []).append(row)
            return
        if key.startswith(PRICES):
            self._judge_first(key, before, now, ("symbol", "date"), price_values)
            self._judge_former(key, before, now)
        elif key.startswith(REVISIONS):
            self._judge_revisions(before, now)
        elif key.startswith(HISTORY):
            self._judge_first(key, before, now, ("symbol", "event_id"), tick_values)
            self.judge_places(key)
        elif key.startswith(CORRECTIONS):
            self._judge_corrections(key, before, now)
        elif key.startswith(SNAPSHOT):
            self._judge_snapshot(before, now)

    def _judge_first(
        self, key: str, before: list[Row], now: list[Row], names: tuple[str, ...], values: Callable[[Row], Any]
    ) -> None:
        """A table in which the first stays: nothing that was stored goes, and what is new was read from its source."""
        was, is_ = by_key(before, names), by_key(now, names)
        if len(is_) != len(now):
            self.problem(f"{key}: a key is stored twice")
        for name, row in was.items():
            if name not in is_:
                self.problem(f"{key}: the row {name} is gone")
            elif is_[name] != row and not self.rebuilt:
                self._judge_change(key, name, row, is_[name], values)
        for name, row in is_.items():
            if was.get(name) == row:
                continue
            if name not in was or row["etl_loading_ts"] - was[name]["etl_loading_ts"] != NEXT:
                self._count(key, row, new=name not in was)
            self._judge_origin(key, name, row, was.get(name), values)

    def _judge_change(self, key: str, name: tuple[Any, ...], old: Row, new: Row, values: Callable[[Row], Any]) -> None:
        """A row changes when another completes it, or a restatement replaces it, which keeps what it does not say."""
        if values(old) != values(new) and knows(values(new), values(old)):
            if (old["source"], old["etl_loading_ts"]) == (new["source"], new["etl_loading_ts"]):
                self.problem(f"{key}: {name} was completed, and does not say by what")
            return
        if new["source"] not in self.restated:
            self.problem(f"{key}: {name} had {values(old)} and now has {values(new)}: the first did not stay")
            return
        given = [r.values for s in self.sources[new["source"]].values() for r in s.firsts if r.key == name and r.values]
        kept = [tuple(o if v is None else v for v, o in zip(v, values(old), strict=True)) for v in given]
        if values(new) not in kept:
            self.problem(
                f"{key}: {name} had {values(old)} and was restated as {values(new)}: {kept} would keep the rest"
            )

    def _judge_former(self, key: str, before: list[Row], now: list[Row]) -> None:
        """What a bar was before it changes is on record before that, and each version is later than the one before."""
        on_record = {(version(r), price_values(r)) for r in self.rows(REVISIONS)}
        is_ = by_key(now, ("symbol", "date"))
        for old in before:
            new = is_.get((old["symbol"], old["date"]))
            if (new is None or price_values(new) != price_values(old)) and (
                version(old),
                price_values(old),
            ) not in on_record:
                self.problem(f"{key}: {version(old)} gave way before it was on record")
        for name, row in is_.items():
            versions = self.bars.setdefault(name, [])
            last = versions[-1] if versions and not self.restored else None
            if last and price_values(last) != price_values(row) and row["etl_loading_ts"] <= last["etl_loading_ts"]:
                self.problem(f"{key}: {version(row)} is not later than {version(last)}, whose place it takes")
            if not last or (version(last), price_values(last)) != (version(row), price_values(row)):
                versions.append(row)

    def _judge_revisions(self, before: list[Row], now: list[Row]) -> None:
        """What is on record was stored like that, stays on record, and is there once."""
        was, is_ = ({version(r): r for r in rows} for rows in (before, now))
        if len(is_) != len(now) or was.keys() - is_.keys():
            self.problem(f"revisions: {was.keys() - is_.keys()} are gone, or one is there twice")
        for what, row in is_.items():
            stored = self.bars.get((row["symbol"], row["date"]), [])
            if not any(version(r) == what and price_values(r) == price_values(row) for r in stored):
                self.problem(f"revisions: {what} with {price_values(row)} was never stored")
            if row["known_from"] != row["etl_loading_ts"] or row["known_to"] <= row["known_from"]:
                self.problem(f"revisions: {what} is known from {row['known_from']} to {row['known_to']}")
            if what in was and row["known_to"] < was[what]["known_to"]:
                self.problem(f"revisions: the end of {what} went back")

    def as_of(self, at: datetime) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """The bars at a time, as the tables tell it now (see `query.past`)."""
        last: dict[tuple[Any, ...], Row] = {}
        for row in self.rows(REVISIONS):
            name = row["symbol"], row["date"]
            if row["known_from"] <= at and (name not in last or last[name]["known_from"] < row["known_from"]):
                last[name] = row
        found = {name: price_values(row) for name, row in last.items() if at < row["known_to"]}
        now = {(r["symbol"], r["date"]): price_values(r) for r in self.rows(PRICES) if r["etl_loading_ts"] <= at}
        return found | now

    def _judge_origin(
        self, key: str, name: tuple[Any, ...], row: Row, old: Row | None, values: Callable[[Row], Any]
    ) -> None:
        """A row that changed holds what a record of its source says, and what the first of some source says."""
        sources = self.sources.get(row["source"], {}).values()
        if not any(matches(record, name, values(row)) for source in sources for record in source.good):
            self.problem(f"{key}: no record of {row['source']} says that {name} has {values(row)}")
        every = [source for versions in self.sources.values() for source in versions.values()]
        if not any(matches(record, name, values(row)) for source in every for record in source.firsts):
            self.problem(f"{key}: {name} with {values(row)} is not the first of any source")
        told = [record.values for source in every for record in source.good if matches(record, name, values(row))]
        told += [values(old)] if old and self.restated else []  # a restatement keeps the rest, and that is completed
        known = [{*given, None} for given in zip(*(given for given in told if given), strict=True)]
        if known and any(value not in given for value, given in zip(values(row), known, strict=True)):
            self.problem(f"{key}: {name} has {values(row)}, which nobody told")

    def _judge_corrections(self, key: str, before: list[Row], now: list[Row]) -> None:
        """What takes trades back: nothing that was stored goes, and what is new is what its source says."""
        was, is_ = by_key(before, ("symbol", "reference")), by_key(now, ("symbol", "reference"))
        if len(is_) != len(now) or was.keys() - is_.keys():
            self.problem(f"corrections: {was.keys() - is_.keys()} are gone, or one is stored twice")
        for name, row in is_.items():
            if was.get(name) == row:
                continue
            records = [r for s in self.sources.get(row["source"], {}).values() for r in s.records or ()]
            if row["price"] is None:
                self._count(key, row, new=name not in was)
                if not any(record.cancels == name for record in records):
                    self.problem(f"corrections: no record of {row['source']} cancels {name}")
            elif not any(record.key == (row["symbol"], row["event_id"]) for record in records):
                self.problem(f"corrections: no record of {row['source']} corrects {name}")

    def judge_places(self, *keys: str) -> None:
        """Every tick is in the object that the stored layout has for it. Objects that are not named are judged all."""
        for key in keys or [key for key in self.tables if key.startswith(HISTORY)]:
            for row in self.tables[key]:
                place = place_of(row, self.lake.objects[LAYOUT].data)
                if place != key:
                    self.problem(f"{key} holds {row['event_id']} of {row['symbol']}, and the layout has it in {place}")

    def needs(self, source: str, key: str) -> bool:
        """Whether an ingest of a staged object has to read an object of the lake."""
        daily = source.startswith("daily_prices/")
        if key.startswith(REJECTS):
            return key.endswith(f"/{hashlib.sha256(source.encode()).hexdigest()[:32]}.parquet")
        if not key.startswith((PRICES, HISTORY)):
            return daily == key.startswith(REVISIONS)  # the snapshot and the corrections are read for all ticks
        keys = set()
        for record in [record for version in self.sources[source].values() for record in version.good]:
            *_, at = record.values or ()
            if daily and record.key:
                keys.add(f"{PRICES}year={record.key[1]:%Y}/prices.parquet")
            elif not daily and LAYOUT in self.lake.objects:
                row = {"symbol": (record.values or ("",))[0], "produced_at": at.replace(tzinfo=UTC)}
                keys.add(place_of(row, self.lake.objects[LAYOUT].data))
        return key in keys

    def standing(self) -> list[Row]:
        """The ticks of history that count, as they do by now."""
        return law.standing(self.rows(HISTORY), self.rows(CORRECTIONS))

    def _stood(self, shown: Row) -> bool:
        """Whether a tick that the snapshot shows counted once, when fewer corrections were stored."""
        past = [versions for key, versions in self.versions.items() if key.startswith(CORRECTIONS)]
        then = [[], *itertools.chain(*past)]
        ticks = [row for rows in then for row in law.standing(self.rows(HISTORY), rows)]
        return any(
            (row["symbol"], row["event_id"]) == (shown["symbol"], shown["event_id"])
            and knows(shown_values(row), shown_values(shown))
            for row in ticks
        )

    def _judge_snapshot(self, before: list[Row], now: list[Row]) -> None:
        was, is_ = by_key(before, ("symbol",)), by_key(now, ("symbol",))
        counting = {(row["symbol"], row["event_id"]): shown_values(row) for row in self.standing()}
        # A trade whose cancel came while it was on its way is shown for a moment, until its own worker takes it out.
        history = {(row["symbol"], row["event_id"]): shown_values(row) for row in self.rows(HISTORY)}
        if len(is_) != len(now):
            self.problem("snapshot: a symbol is stored twice")
        for name, row in was.items():
            stands = counting.get((row["symbol"], row["event_id"]))
            taken_back = stands is None or not knows(stands, shown_values(row))
            if not taken_back and (name not in is_ or law.order(is_[name]) < law.order(row)):
                self.problem(f"snapshot: {name} went back from {law.order(row)}")
        for row in is_.values():
            name = row["symbol"], row["event_id"]
            stored = [values for values in (counting.get(name), history.get(name)) if values]
            # It may be completed by now, or its worker has read the corrections before the last of them came.
            if not any(knows(values, shown_values(row)) for values in stored) and not self._stood(row):
                self.problem(f"snapshot: {row['symbol']} shows {row['event_id']}, which history does not hold so")


def of_ingest(loaded: datetime, now: datetime) -> bool:
    """Whether rows were stored by the ingest that began at a moment; see `World.clock`. One that makes several ingests
    gives each a moment of its own, within the time that is its own.
    """
    return now <= loaded < now - timedelta(microseconds=now.microsecond % INGEST.microseconds) + INGEST


def _timeless(rows: list[Row]) -> list[Row]:
    """The rows without their loading times: a bar that is put back is a new version."""
    return [row | {"etl_loading_ts": None} for row in rows]


def read(data: bytes) -> list[Row]:
    rows: list[Row] = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False).to_pylist()
    return rows


def place_of(row: Row, layout: bytes) -> str:
    """The key of the object of history that a layout has for a tick."""
    at = row["produced_at"].astimezone(UTC)
    sections = [s for s in json.loads(layout)["sections"] if s["from"] <= f"{at:%Y-%m-%d}"]
    section = max(sections, key=lambda s: str(s["from"]))
    start = (60 * at.hour + at.minute) // section["minutes"] * section["minutes"]
    shard = f"-{crc32(row['symbol'].encode()) % section['shards']:02d}" if section["shards"] > 1 else ""
    return f"{HISTORY}year={at:%Y}/month={at:%m}/day={at:%d}/{start // 60:02d}{start % 60:02d}{shard}.parquet"


def by_key(rows: Iterable[Row], names: tuple[str, ...]) -> dict[tuple[Any, ...], Row]:
    return {tuple(row[name] for name in names): row for row in rows}


def version(row: Row) -> tuple[Any, ...]:
    """What identifies a version of a bar."""
    return row["symbol"], row["date"], row["source"], row["etl_loading_ts"]


def price_values(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("open", "high", "low", "close", "adj_close", "volume"))


def tick_values(row: Row) -> tuple[Any, ...]:
    return row["symbol"], row["price"], row["size"], row["produced_at"].astimezone(UTC).replace(tzinfo=None)


def shown_values(row: Row) -> tuple[Any, ...]:
    """What the snapshot shows of a tick."""
    return (*tick_values(row), row["event_id"], *(row[name] for name in ("nanos", "trade_number", "line", "sets_last")))


def matches(record: Record, key: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
    """Whether a row holds all that a record says; one without an id of its own is known by its values."""
    return record.key in (key, None) and record.values is not None and knows(values, record.values)


def knows(more: tuple[Any, ...], less: tuple[Any, ...]) -> bool:
    """Whether the one has every value of the other; None is no value."""
    return all(value is None or value == other for value, other in zip(less, more, strict=True))
