"""Objects of the lake that are foreign, empty or damaged, as `doctor` and Dagster's check name them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from stock_pipeline.errors import DamagedObject, ObjectNotFound, SchemaMismatch
from stock_pipeline.lake.contents import foreign_objects, own_objects
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode
from stock_pipeline.schemas import TABLES, Table

_READERS = 8

FOREIGN = (
    "it is not the pipeline's: move it out of the table's folder, because Athena reads every object there; if its rows "
    "are missing in the table, ingest their raw objects (stock-pipeline reconcile --all)"
)


@dataclass(frozen=True)
class LakeObjects:
    """What is wrong in the lake: objects by their key, each with what to do. `read` is how many objects were read."""

    foreign: dict[str, str]
    unreadable: dict[str, str]
    read: int

    def table(self) -> pa.Table:
        """The objects as rows: `object`, `what`."""
        wrong = self.foreign | self.unreadable
        return pa.table({"object": list(wrong), "what": list(wrong.values())})


def examine_objects(lake: ObjectStore, since: datetime, most: int) -> LakeObjects:
    """Look at the names of all objects of the lake's tables, and read those that were written since a moment (UTC).

    Of each table at most the `most` objects are read that were written last. An object without any bytes is told
    however old it is. Raises LayoutError and StoreUnavailable.
    """
    foreign: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    read = 0
    for table in TABLES.values():
        foreign |= {info.key: FOREIGN for info in foreign_objects(lake, table)}
        own = own_objects(lake, table)
        recent = sorted((i for i in own if i.modified >= since), key=lambda info: info.modified, reverse=True)[:most]
        chosen = {info.key: info for info in (*recent, *(info for info in own if not info.size))}
        unreadable |= _unreadable(lake, table, list(chosen.values()))
        read += len(chosen)
    return LakeObjects(foreign, unreadable, read)


def _unreadable(lake: ObjectStore, table: Table, infos: Sequence[ObjectInfo]) -> dict[str, str]:
    def why(info: ObjectInfo) -> str:
        try:
            decode(lake.get(info.key).data, table, info.key)
        except (DamagedObject, SchemaMismatch) as error:
            return str(error)
        except ObjectNotFound:  # somebody moved it away meanwhile
            return ""
        return ""

    with ThreadPoolExecutor(_READERS) as threads:
        found = threads.map(why, infos)
        return {info.key: reason for info, reason in zip(infos, found, strict=True) if reason}
