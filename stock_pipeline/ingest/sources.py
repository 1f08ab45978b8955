"""One source object during its ingest: what is known about it, its rejected records, and its receipt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Ints, booleans
from stock_pipeline.clean import Cleaned
from stock_pipeline.ingest.conflicts import Told
from stock_pipeline.lake.ingest_log import Options
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.rejected_records import Ingested, as_recorded
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import RECORDED, Reason, Table


@dataclass
class SourceObject:
    """One source object, read and cleaned, before and during its merge.

    `cleaned` is None when the object was refused (`refused` says why), or did not exist: then it is `gone`, and `info`
    has the ETag that an event or a listing named, if any. `held` is how many bytes of text stay in memory with it, for
    the records of rows that are not stored. `options` say how it was told to be read.

    The merge fills in the rest: how many rows had each outcome, how many rows each partition got, and the report on
    conflicts. `disputed` are the lines of the rows that met other values and are not stored.
    `earlier` are records of conflicts from calls that were stopped. `logged` says how many entries it has now in the
    log of each partition, and `restated` when it changed something as a restatement. `then` names a further partition
    of the source when only the rows of one are merged.
    """

    info: ObjectInfo
    started_at: datetime
    cleaned: Cleaned | None = None
    refused: str | None = None
    gone: bool = False
    held: int = 0
    options: Options = ()
    outcomes: Ints = field(default_factory=lambda: np.zeros(len(Outcome), np.int64))
    partitions: dict[str, int] = field(default_factory=dict)
    conflicts: Told | None = None
    disputed: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    earlier: list[pa.Table] = field(default_factory=list)
    logged: dict[str, int] = field(default_factory=dict)
    then: str = ""
    restated: str = ""

    @property
    def ingested(self) -> Ingested:
        """What the lake is to remember of this ingest."""
        partly = 0 < len(self.logged) < len(self.partitions)
        return Ingested(self.options, self.restated, self.logged, partly)

    @property
    def rows(self) -> int:
        return self.cleaned.good.num_rows if self.cleaned else 0


class LoadingTimes:
    """The loading time of each group of sources in one ingest.

    A merge knows rows of its own by their source and loading time (see `lake.merge`). So a version of an object must
    not share both with another version of it that an earlier group has stored.
    """

    def __init__(self) -> None:
        self._groups: dict[str, int] = {}

    def of(self, infos: Iterable[ObjectInfo], now: datetime) -> datetime:
        """The loading time of the next group, which begins at `now`."""
        keys = {info.key for info in infos}
        before = max((self._groups.get(key, 0) for key in keys), default=0)
        self._groups |= dict.fromkeys(keys, before + 1)
        return now + timedelta(microseconds=before)


def records_of(source: SourceObject) -> pa.Table:
    """The records of a source (schema RECORDED): rows that are not stored, and rows stored without a value.

    A row without a value that met other values is not stored: it is a conflict, and its record shows it as it came.
    """
    if (cleaned := source.cleaned) is None:
        reason = Reason.FILE_GONE if source.gone else Reason.FILE_REFUSED
        row = {"line": 0, "reason": reason.value, "detail": source.refused, "stored": False}
        return pa.Table.from_pylist([row], RECORDED)
    notes = cleaned.notes
    if notes.num_rows:
        out = np.concatenate([source.disputed, *(found["line"].to_numpy() for found in source.earlier)])
        notes = notes.filter(booleans(~np.isin(notes["line"].to_numpy(), out)))
    parts = [as_recorded(cleaned.rejected, stored=False), as_recorded(notes, stored=True)]
    return pa.concat_tables([*parts, *source.earlier, *([source.conflicts.records] if source.conflicts else [])])


def receipt_of(source: SourceObject, table: Table, now: datetime) -> Receipt:
    cleaned, info, by_reason = source.cleaned, source.info, dict[str, int]()
    if cleaned and cleaned.rejected.num_rows:
        by_reason = {str(c["values"]): c["counts"].as_py() for c in pc.value_counts(cleaned.rejected["reason"])}
    count = {outcome: int(source.outcomes[outcome]) for outcome in Outcome}
    return Receipt(
        source=info.key,
        etag=info.etag,
        version=info.version,
        table=table.name,
        bytes=info.size,
        rows=cleaned.rows if cleaned else 0,
        inserted=count[Outcome.INSERTED] + count[Outcome.REPLACED],
        duplicates=count[Outcome.DUPLICATE],
        updated=count[Outcome.UPDATED],
        conflicts=count[Outcome.CONFLICT],
        rejected=dict(sorted(by_reason.items())),
        skipped=cleaned.skipped if cleaned else 0,
        replaced=count[Outcome.REPLACED],
        refused=source.refused,
        nulled=dict(sorted(cleaned.nulled.items())) if cleaned else {},
        unread=cleaned.unread if cleaned else (),
        decided=dict(cleaned.decided) if cleaned else {},
        rescaled=source.conflicts.rescaled if source.conflicts else (),
        partitions=dict(sorted(source.partitions.items())),
        started_at=source.started_at,
        loaded_at=now,
        seconds=(datetime.now(UTC) - source.started_at).total_seconds(),
    )
