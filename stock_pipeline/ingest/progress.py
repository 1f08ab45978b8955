"""How far the ingest of a wide source has come. The rows of a wide source go into more partitions than one call has
time for.

Merged rows stay merged, and merging them again adds nothing. But a call that starts from the beginning would spend its
time reading what the call before it wrote. So a stopped call leaves a note: up to which partition this version of the
source is done. Nothing depends on the note: without it, or with an older one, the next call only takes longer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.schemas import Table


@dataclass(frozen=True)
class Progress:
    """The version of a source, and the partition, in the order of names, up to which all are merged."""

    etag: str
    until: str


def read_progress(lake: ObjectStore, table: Table, source: ObjectInfo) -> str:
    """The partition up to which stopped calls have merged a source; "" when there is no note of this version."""
    try:
        noted = Progress(**json.loads(lake.get(_key(table, source)).data))
    except (ObjectNotFound, ValueError, TypeError):
        return ""
    return noted.until if noted.etag == source.etag else ""


def note_progress(lake: ObjectStore, table: Table, source: ObjectInfo, until: str) -> None:
    """Write the note. If two workers are at the same source, the last note wins; at worst that costs time."""
    lake.put(_key(table, source), json.dumps(asdict(Progress(source.etag, until))).encode())


def _key(table: Table, source: ObjectInfo) -> str:
    # Query engines ignore names that begin with an underscore.
    return f"{table.prefix}_progress/{sha256(source.key.encode()).hexdigest()[:32]}.json"
