"""parse → clean → merge for sources; returns a receipt for each source. Assets, Lambdas and the command line call this.

A group of sources is merged together: each touched partition is read and written once for the whole group. Sources are
always ingested whole, so their rejected records can be replaced whole too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.errors import FileRefused
from stock_pipeline.ingest.commit import merge_group, with_provenance
from stock_pipeline.ingest.sources import LoadingTimes, SourceObject
from stock_pipeline.lake.ingest_log import Options
from stock_pipeline.lake.object_store import Named, ObjectInfo, ObjectStore, StoredObject
from stock_pipeline.lake.remembered import remembered
from stock_pipeline.lake.transforms import by_year
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline.parse.files import MAX_BYTES
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import MIB
from stock_pipeline.staging.reader import each_raw_object

GROUP_ROWS, GROUP_BYTES = 2_000_000, 64 * MIB
"""Sources are merged as soon as this many rows, or this much text, is gathered. So a long backfill needs no more memory
than a short one, and a deployed function has room for this much and its largest object.
"""

_READERS = 8


def ingest_daily_prices(
    keys: Sequence[Named],
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    replace: bool = False,
    symbol: str | None = None,
    hints: Hints = Hints(),  # noqa: B008 - it is immutable
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
    go_on: Callable[[], bool] | None = None,
) -> list[Receipt]:
    """Bring raw objects of daily prices into `price_by_date`. Returns one receipt for each key, in the order of the
    keys. Where a version of an object is named instead of a key, that version is read.

    When two sources have different values for one symbol and session, the values stored first stay; in one call, those
    of the source named first. With `replace` (a restatement) each source's values replace the stored ones, source after
    source; each keeps the stored values that it does not mention. The former versions go to `price_revisions`. `symbol`
    is the symbol for files that name none. `hints` decide what a file leaves open, in addition to hints in the folders
    of its key. The lake remembers both, and a later ingest of the same version that would be refused without them uses
    them again. `now` (UTC) is the loading time of all rows; without it, each group of sources has the time at which its
    merge begins. `on_progress` is called with (sources done, number of sources). `go_on`, for callers whose time is
    limited, is called before each further group of sources. When it returns False, only the receipts of merged sources
    are returned, fewer than the keys.

    An object that is refused, or that does not exist any more, gives a receipt that says so; the others are ingested.
    Raises StoreUnavailable or MergeContention when the work could not be done: calling again with the same keys is
    safe.
    """
    begun = now or datetime.now(UTC)
    receipts: list[Receipt] = []
    options = options_of(symbol, hints)
    reading = read_daily_prices(keys, staging, lake, options, max_bytes=max_bytes, now=begun)
    sources = _counted(reading, len(keys), on_progress)
    times = LoadingTimes()
    for group in groups(sources, 1 if replace else GROUP_ROWS):
        # Without `now`, each group has a time of its own: a reader sees its rows soon after that.
        moment = times.of((source.info for source in group), now or datetime.now(UTC))
        rows = joined(group, moment)
        receipts += merge_group(group, rows, PRICE_BY_DATE, by_year, lake, moment, replace=replace).receipts
        del group  # otherwise the next one is read while this one is still in memory
        if go_on and not go_on():
            break
    return receipts


def _counted(sources: Iterator[SourceObject], total: int, on_progress: Progress | None) -> Iterator[SourceObject]:
    for done, source in enumerate(sources, 1):
        if on_progress:
            on_progress(done, total)
        yield source
        del source


def options_of(symbol: str | None, hints: Hints) -> Options:
    """A symbol and hints as the lake remembers them."""
    told = vars(hints) | {"symbol": symbol}
    return tuple(sorted((name, value) for name, value in told.items() if value is not None))


def hints_of(options: Options) -> Hints:
    """The hints among remembered options."""
    told: dict[str, Any] = {name: value for name, value in options if name != "symbol"}
    return Hints(**told)


def symbol_of(options: Options) -> str | None:
    """The symbol among remembered options."""
    return next((str(value) for name, value in options if name == "symbol"), None)


def read_daily_prices(
    keys: Sequence[Named], staging: ObjectStore, lake: ObjectStore, options: Options, *, max_bytes: int, now: datetime
) -> Iterator[SourceObject]:
    """Raw objects of daily prices, read, parsed and cleaned, in the order of the keys; a few are read ahead.

    An object that is refused without options is read with those that the lake remembers of this version, if any.
    """

    def cleaned(found: StoredObject, limit: int, told: Options) -> SourceObject:
        started_at, info = datetime.now(UTC), found.info
        rows = parse_daily_prices(found.data, info.key, symbol=symbol_of(told), hints=hints_of(told), max_bytes=limit)
        good = clean_daily_prices(rows, now.date())
        return SourceObject(info, started_at, good, held=len(rows.lines.text), options=told)

    def judged(found: StoredObject, limit: int) -> SourceObject:
        try:
            return cleaned(found, limit, options)
        except FileRefused:
            known = remembered(lake, PRICE_BY_DATE, found.info.key).get(found.info.etag) if not options else None
            if known is None or not known.options:
                raise
            return cleaned(found, limit, known.options)

    def refused(info: ObjectInfo, reason: str, gone: bool) -> SourceObject:
        return SourceObject(info, datetime.now(UTC), refused=reason, gone=gone, options=options)

    return each_raw_object(keys, staging, judged, refused, max_bytes=max_bytes, readers=_READERS, now=now)


def groups(sources: Iterator[SourceObject], rows: int) -> Iterator[list[SourceObject]]:
    """The sources in groups of at least `rows` rows or GROUP_BYTES of text. A refused source counts as zero rows."""
    group: list[SourceObject] = []
    for source in sources:
        group.append(source)
        del source  # free a finished group before the next object is read
        if sum(a.rows for a in group) >= rows or sum(a.held for a in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def joined(group: list[SourceObject], now: datetime) -> pa.Table:
    """The good rows of a group with their provenance, in its order."""
    columns = [PRICE_BY_DATE.schema.field(name) for name in PRICE_BY_DATE.given]
    good = [source.cleaned.good for source in group if source.cleaned]
    rows = pa.concat_tables([pa.schema(columns).empty_table(), *good]).unify_dictionaries()
    owners = np.repeat(np.arange(len(group), dtype=np.int32), [source.rows for source in group])
    infos = [source.info for source in group]
    written = [info.modified for info in infos]
    return with_provenance(rows, [info.key for info in infos], owners, PRICE_BY_DATE, now, written)
