"""How far the ingest of a source has come whose rows go into more partitions than one call has time for.

Merged rows stay merged, and merging them again adds nothing. But a call that starts from the beginning would spend its
time reading what the call before it wrote. So a stopped call leaves a note: up to which partition this version of the
source is done, and which of its rows met other values. Nothing depends on the note: without it, or with an older one,
the next call only takes longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa

from stock_pipeline.errors import ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import attempts
from stock_pipeline.schemas import RECORDED, Table

_FOLDER = "_progress/"
"""Query engines ignore names that begin with an underscore."""


@dataclass(frozen=True)
class Progress:
    """The partition, in the order of names, up to which all are merged, and the records of conflicts (RECORDED).

    "" means none. Some conflicts may be in later partitions.
    """

    until: str
    conflicts: pa.Table


def nothing() -> Progress:
    """What a source has that no call was stopped at. Not a constant: to make a table imports pandas, where it is."""
    return Progress("", RECORDED.empty_table())


def read_progress(lake: ObjectStore, table: Table, sources: Sequence[ObjectInfo]) -> list[Progress]:
    """For each source, what stopped calls have merged of this version of it.

    One listing finds the notes: few calls are ever stopped, so it costs less than to ask for each source.
    """
    noted = {info.key for info in lake.list(f"{table.prefix}{_FOLDER}")}
    return [_noted(lake, key, source) if (key := _key(table, source)) in noted else nothing() for source in sources]


def note_progress(lake: ObjectStore, table: Table, source: ObjectInfo, progress: Progress) -> None:
    """Write the note. If two workers are at the same source, the last note wins; at worst that costs time."""
    sink, said = pa.BufferOutputStream(), {"etag": source.etag, "until": progress.until}
    with pa.ipc.new_stream(sink, RECORDED.with_metadata(said)) as writer:
        writer.write_table(progress.conflicts)
    for _ in attempts(key := _key(table, source)):  # pragma: no branch - it ends by raising
        with suppress(PreconditionFailed):  # S3 answers 409 to one of two writes at the same time
            lake.put(key, sink.getvalue().to_pybytes())
            return


def _noted(lake: ObjectStore, key: str, source: ObjectInfo) -> Progress:
    try:
        found = pa.ipc.open_stream(lake.get(key).data)
        said = found.schema.metadata or {}
        of_this = found.schema.equals(RECORDED) and said.get(b"etag") == source.etag.encode()
        return Progress(said[b"until"].decode(), found.read_all()) if of_this else nothing()
    except (ObjectNotFound, pa.ArrowException, OSError):
        return nothing()


def _key(table: Table, source: ObjectInfo) -> str:
    return f"{table.prefix}{_FOLDER}{sha256(source.key.encode()).hexdigest()[:32]}.arrows"
