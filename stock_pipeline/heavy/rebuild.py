"""Builds years of `price_by_date` again, a task a year. The work of a year is `maintenance.rebuild`.

The raw objects are listed once for all years, in the order of their arrival, and all years have one `now`. A year whose
swap lost against another writer is planned again. When all years are done, the files that nobody had ingested before
are ingested, once (`finish`). So a loop and a pool write the same rows, records and receipts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from stock_pipeline.errors import (
    MergeContention,
    ObjectNotFound,
    RowsWouldBeLost,
    StockPipelineError,
    StoreUnavailable,
    WorkersDied,
)
from stock_pipeline.heavy.executors import in_turn
from stock_pipeline.heavy.journal import Journal
from stock_pipeline.heavy.places import opened
from stock_pipeline.heavy.tasks import Executor, Task, values
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import attempts, partition_key, swap
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.maintenance.rebuild import Rebuilt, Swapped, compare_year, finish, swap_in
from stock_pipeline.parse.files import MAX_BYTES
from stock_pipeline.progress import Progress, Say
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.staging.keys import raw_versions, versions_of_year

_MAY_GO_ON = (StoreUnavailable, MergeContention, WorkersDied)
"""After these errors a second start goes on. After any other a person changes something, so it begins anew."""


@dataclass(frozen=True)
class Places:
    """The staging and the lake bucket (see `heavy.places`), and the most bytes of an unpacked raw object."""

    staging: str
    lake: str
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True)
class Year:
    """The argument of a task. `listing` is the key of the list that `listed` is from; a comparison has neither a list
    nor a journal in the lake.
    """

    year: int
    places: Places
    listed: Sequence[ObjectInfo]
    now: datetime | None
    journal: Journal | None = None
    listing: str = ""


@dataclass(frozen=True)
class YearDone:
    """A rebuilt year: the numbers of rows that were added and changed, of all its rows, and a receipt an ingest."""

    added: int
    changed: int
    rows: int
    receipts: list[Receipt]
    swapped: Swapped

    @property
    def year(self) -> int:
        """The year."""
        return self.swapped.year


def compare_years(
    years: Iterable[int],
    places: Places,
    *,
    now: datetime | None = None,
    run: Executor = in_turn,
    on_progress: Progress | None = None,
) -> list[Rebuilt]:
    """What `rebuild_years` would change, year by year, without the objects to write. Raises what it would raise."""
    listed = raw_versions(opened(places.staging))
    tasks = [
        Task(f"{__name__}:compare", Year(year, places, versions_of_year(listed, year), now), str(year))
        for year in _ordered(years)
    ]
    return values(run(tasks, on_progress))


def rebuild_years(
    years: Iterable[int],
    places: Places,
    *,
    now: datetime | None = None,
    anew: bool = False,
    run: Executor = in_turn,
    on_progress: Progress | None = None,
    say: Say | None = None,
) -> list[YearDone]:
    """Build years of `price_by_date` again from the raw objects only, and swap each in whole; see `rebuild_year`.

    A second start with the same years goes on where the first was stopped, unless it is to begin `anew`. A year that is
    refused does not hold up the others: they are swapped in, and then the first error is raised.

    Raises what `rebuild_year` raises, and WorkersDied.
    """
    ordered, lake = _ordered(years), opened(places.lake)
    wanted = [places.staging, ordered]
    journal = Journal.begin(lake, PRICE_BY_DATE.prefix, "rebuild", wanted, now=now, anew=anew)
    done = _done(journal, lake, ordered)
    if journal.resumed and say:
        say(f"going on with the rebuild of {journal.begun:%Y-%m-%d %H:%M} UTC: {len(done)} of {len(ordered)} are done")
    failed: StockPipelineError | None = None
    try:
        _swap_all(journal, ordered, places, done, run, on_progress)
    except StockPipelineError as error:
        failed = error
    swapped = [done[year].swapped for year in sorted(done)]
    finish(swapped, staging=opened(places.staging), lake=lake, max_bytes=places.max_bytes, now=journal.begun)
    if not isinstance(failed, _MAY_GO_ON):
        journal.finish(lake)
    if failed:
        raise failed
    return [done[year] for year in ordered]


def compare(argument: Year, on_progress: Progress | None) -> Rebuilt:
    """The task of a year: compare it, and write nothing."""
    rebuilt = _compared(argument, on_progress)
    return replace(rebuilt, data=None, judged=[], listed=())


def rebuild(argument: Year, on_progress: Progress | None) -> YearDone | None:
    """The task of a year: build it again and swap it in. None when another writer came first."""
    assert argument.journal
    journal, lake, name = argument.journal, opened(argument.places.lake), str(argument.year)
    try:
        rebuilt = _compared(argument, on_progress)
    except RowsWouldBeLost:
        if _is_outdated(argument):
            return None
        raise
    added, changed = rebuilt.added.num_rows, rebuilt.changed.num_rows
    before = journal.entry(lake, name)
    # A try before this one may have died after its commit: what it changed counts.
    committed = bool(before.get("hash")) and before["hash"] == _stored_hash(lake, argument.year)
    receipts = rebuilt.receipts
    if committed:
        added, changed = added + before["added"], changed + before["changed"]
        receipts = _with_later(_receipts(before), receipts)
    hashed = before["hash"] if committed else None
    told = {
        "hash": hashed if rebuilt.data is None else _hash(rebuilt.data),
        "added": added,
        "changed": changed,
        "rows": rebuilt.rows,
        "receipts": [receipt.to_json() for receipt in receipts],
        "listing": argument.listing,
    }
    journal.note(lake, name, told)
    swapped = swap_in(rebuilt, lake=lake, now=argument.now)
    if not swapped:
        return None
    swapped = replace(swapped, changed=swapped.changed or committed)
    journal.note(lake, name, {**told, "done": True, "written": swapped.changed, "noted": swapped.noted})
    return YearDone(added, changed, rebuilt.rows, receipts, swapped)


def _swap_all(
    journal: Journal, years: Sequence[int], places: Places, done: dict[int, YearDone], run: Executor,
    on_progress: Progress | None,
) -> None:  # fmt: skip
    """Rebuild the years that are not `done`, and add them to it. A year that lost a race is planned again."""
    staging, lake = opened(places.staging), opened(places.lake)
    for _ in attempts(PRICE_BY_DATE.prefix):  # pragma: no branch - it ends by raising
        left = [year for year in years if year not in done]
        if not left:
            return
        listed = raw_versions(staging)
        listing = _write_listing(journal, lake, listed)
        tasks = [
            Task(
                f"{__name__}:rebuild",
                Year(year, places, versions_of_year(listed, year), journal.begun, journal, listing),
                str(year),
            )
            for year in left
        ]
        results = run(tasks, on_progress)
        done |= {result.value.year: result.value for result in results if result.value}
        values(results)


def _compared(argument: Year, on_progress: Progress | None) -> Rebuilt:
    places = argument.places
    return compare_year(
        argument.year, staging=opened(places.staging), lake=opened(places.lake), listed=argument.listed,
        max_bytes=places.max_bytes, now=argument.now, on_progress=on_progress,
    )  # fmt: skip


def _is_outdated(argument: Year) -> bool:
    """Whether files came after the list of a task was made; the year may have rows of them."""
    listed = {(info.key, info.etag) for info in argument.listed}
    now = versions_of_year(raw_versions(opened(argument.places.staging)), argument.year)
    return any((info.key, info.etag) not in listed for info in now)


def _done(journal: Journal, lake: ObjectStore, years: Sequence[int]) -> dict[int, YearDone]:
    """The years that an earlier start has done."""
    entries = {year: journal.entry(lake, str(year)) for year in years}
    return {year: _of_entry(year, told, lake) for year, told in entries.items() if told.get("done")}


def _of_entry(year: int, told: Mapping[str, Any], lake: ObjectStore) -> YearDone:
    receipts = _receipts(told)
    listed = versions_of_year(_read_listing(lake, told["listing"]), year)
    swapped = Swapped(year, told["written"], len(receipts), listed, told["noted"])
    return YearDone(told["added"], told["changed"], told["rows"], receipts, swapped)


def _receipts(told: Mapping[str, Any]) -> list[Receipt]:
    return [Receipt.from_json(text) for text in told["receipts"]]


def _with_later(noted: list[Receipt], found: Sequence[Receipt]) -> list[Receipt]:
    """The receipts that were noted before the commit, and those of versions that came later.

    After the commit the log of the year has another order of the ingests that changed nothing in it.
    """
    known = {(receipt.source, receipt.etag) for receipt in noted}
    return noted + [receipt for receipt in found if (receipt.source, receipt.etag) not in known]


def _write_listing(journal: Journal, lake: ObjectStore, listed: Sequence[ObjectInfo]) -> str:
    told = [[i.key, i.etag, i.size, i.modified.isoformat(), i.version] for i in listed]
    data = json.dumps(told, ensure_ascii=False).encode()
    key = f"{journal.folder}listing-{_hash(data)[:16]}.json"
    swap(lake, key, data, None)  # one that is there already is the same
    return key


def _read_listing(lake: ObjectStore, key: str) -> list[ObjectInfo]:
    told = json.loads(lake.get(key).data)
    return [ObjectInfo(k, etag, size, datetime.fromisoformat(at), version) for k, etag, size, at, version in told]


def _stored_hash(lake: ObjectStore, year: int) -> str:
    try:
        return _hash(lake.get(partition_key(PRICE_BY_DATE, year_partition(year))).data)
    except ObjectNotFound:
        return ""


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _ordered(years: Iterable[int]) -> list[int]:
    return sorted(set(years))
