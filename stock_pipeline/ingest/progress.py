"""How far the ingest of a source has come whose rows go into more partitions than one call has time for.

Merged rows stay merged, and merging them again adds nothing. But a call that starts from the beginning would spend its
time reading what the call before it wrote. So a stopped call leaves a note: up to which partition this version of the
source is done. Nothing depends on the note: without it, or with an older one, the next call only takes longer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256

from stock_pipeline.errors import ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import attempts
from stock_pipeline.schemas import Table

_FOLDER = "_progress/"
"""Query engines ignore names that begin with an underscore."""


@dataclass(frozen=True)
class Progress:
    """The version of a source, and the partition, in the order of names, up to which all are merged."""

    etag: str
    until: str


def read_progress(lake: ObjectStore, table: Table, sources: Sequence[ObjectInfo]) -> list[str]:
    """For each source, the partition up to which stopped calls have merged it; "" without a note of this version.

    One listing finds the notes: few calls are ever stopped, so it costs less than to ask for each source.
    """
    noted = {info.key for info in lake.list(f"{table.prefix}{_FOLDER}")}
    return [_until(lake, key, source) if (key := _key(table, source)) in noted else "" for source in sources]


def _until(lake: ObjectStore, key: str, source: ObjectInfo) -> str:
    try:
        noted = Progress(**json.loads(lake.get(key).data))
    except (ObjectNotFound, ValueError, TypeError):
        return ""
    return noted.until if noted.etag == source.etag else ""


def note_progress(lake: ObjectStore, table: Table, source: ObjectInfo, until: str) -> None:
    """Write the note. If two workers are at the same source, the last note wins; at worst that costs time."""
    key, data = _key(table, source), json.dumps(asdict(Progress(source.etag, until))).encode()
    for _ in attempts(key):  # pragma: no branch - it ends by raising
        with suppress(PreconditionFailed):  # S3 answers 409 to one of two writes at the same time
            lake.put(key, data)
            return


def _key(table: Table, source: ObjectInfo) -> str:
    return f"{table.prefix}{_FOLDER}{sha256(source.key.encode()).hexdigest()[:32]}.json"
