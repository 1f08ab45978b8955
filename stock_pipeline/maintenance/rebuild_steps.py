"""The ingests that made a year of `price_by_date`, in their order, so that a rebuild makes them again.

The log of the year (`lake.ingest_log`) has each ingest that changed it. Versions of raw objects that never changed it
come after these, in the order of their arrival: they may have rows that were rejected once and can be read now. Rows of
objects that the log does not name were stored by earlier versions of this package; then the stored rows and the records
of replaced values are the evidence of the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from stock_pipeline.lake.ingest_log import IngestLog, Options
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.remembered import remembered_of
from stock_pipeline.lake.source_memory import Remembered
from stock_pipeline.schemas import PRICE_BY_DATE, Reason

_UNKNOWN = Remembered()


@dataclass(frozen=True)
class Step:
    """One ingest of a version of a raw object: as a restatement or not, and how it is to be read.

    `stored` says whether the year has, or had, rows of it, and `known` whether any ingest of it is remembered.
    """

    info: ObjectInfo
    replace: bool = False
    options: Options = ()
    stored: bool = False
    known: bool = True


def steps_of_year(
    versions: Sequence[ObjectInfo], stored: pa.Table | None, log: IngestLog, lake: ObjectStore
) -> list[Step]:
    """The ingests to make again, in their order, of the versions that staging has for a year. Versions whose rows a
    person removed are left out.
    """
    memory = remembered_of(lake, PRICE_BY_DATE, {info.key for info in versions})

    def known(info: ObjectInfo) -> Remembered:
        return memory.get(info.key, {}).get(info.etag, _UNKNOWN)

    by_identity = {(info.key, info.etag): info for info in versions}
    logged = [
        Step(by_identity[entry.source, entry.etag], entry.replace, entry.options, stored=True)
        for entry in log.entries
        if (entry.source, entry.etag) in by_identity
    ]
    done = {(entry.source, entry.etag) for entry in log.entries}
    left = [info for info in versions if (info.key, info.etag) not in done and not known(info).removed]
    times = _times(stored, log)
    before = [info for info in left if info.key in times]
    after = [Step(i, options=known(i).options, known=known(i).judged) for i in left if i.key not in times]
    return [*_without_log(before, times, lake, known=memory), *logged, *after]


def _without_log(
    versions: Iterable[ObjectInfo],
    times: Mapping[str, tuple[datetime, datetime]],
    lake: ObjectStore,
    known: Mapping[str, Mapping[str, Remembered]],
) -> list[Step]:
    """The steps of sources whose rows have no log: plain ones by the time of their first row, and then restatements by
    that of their last.
    """
    versions = list(versions)
    restating = _restating(lake) if versions else set()

    def step(info: ObjectInfo) -> Step:
        options = known.get(info.key, {}).get(info.etag, _UNKNOWN).options
        return Step(info, info.key in restating, options, stored=True)

    plain = sorted((i for i in versions if i.key not in restating), key=lambda info: times[info.key][0])
    restated = sorted((i for i in versions if i.key in restating), key=lambda info: times[info.key][1])
    return [step(info) for info in (*plain, *restated)]


def _times(stored: pa.Table | None, log: IngestLog) -> dict[str, tuple[datetime, datetime]]:
    """When the first and the last row of each source was stored that the log does not name."""
    if stored is None:
        return {}
    plain = pa.table([stored["source"].cast(pa.string()), stored["etl_loading_ts"]], ["source", "loaded"])
    found = plain.group_by("source").aggregate([("loaded", "min"), ("loaded", "max")]).to_pylist()
    return {row["source"]: (row["loaded_min"], row["loaded_max"]) for row in found if row["source"] not in log.sources}


def _restating(lake: ObjectStore) -> set[str]:
    """The sources that have replaced values, by the records of these."""
    recorded = read_rejects(lake, PRICE_BY_DATE).select(["source", "reason"]).to_pylist()
    return {row["source"] for row in recorded if row["reason"] == Reason.REPLACED}
