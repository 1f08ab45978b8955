"""How far a wide source has come: one whose rows go into more partitions than one call has time for.

What is merged stays merged, and merging it again adds nothing; but a call that began at the start again would spend its
time on reading what the one before it wrote. So a call that is stopped leaves a note: up to which partition this
version of the source is done. It is a note and no record: without it, or with an older one, the next call only takes
longer.
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
    """The version of a source, and the last partition, in the order of names, up to which all are merged."""

    etag: str
    until: str


def read_progress(lake: ObjectStore, table: Table, source: ObjectInfo) -> str:
    """Up to which partition a source has been merged by calls that were stopped; "" when there is no note of this
    version."""
    try:
        noted = Progress(**json.loads(lake.get(_key(table, source)).data))
    except (ObjectNotFound, ValueError, TypeError):
        return ""
    return noted.until if noted.etag == source.etag else ""


def note_progress(lake: ObjectStore, table: Table, source: ObjectInfo, until: str) -> None:
    """Leave the note. Of two workers at the same source the last to write is believed, which costs time at most."""
    lake.put(_key(table, source), json.dumps(asdict(Progress(source.etag, until))).encode())


def _key(table: Table, source: ObjectInfo) -> str:
    # Engines pass over what begins with an underscore.
    return f"{table.prefix}_progress/{sha256(source.key.encode()).hexdigest()[:32]}.json"
