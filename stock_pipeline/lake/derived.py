"""Tables that are computed from another table: a partition is replaced whole whenever its input has changed.

A derived table has `keep="replace"`. Everything in its objects can be computed again, so they need no merge. The footer
of each object says from which version of the input it was computed, and a commit under compare-and-swap replaces it.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.parquet import check, decode, encode, footer
from stock_pipeline.lake.partitions import attempts, partition_key, swap
from stock_pipeline.lake.projection import version_of
from stock_pipeline.schemas import Table

INPUT_ETAG = "input_etag"
"""The footer key of a derived object for the ETag of the object that it was computed from."""


def derive(
    store: ObjectStore, derived: Table, partition: str, of: Table, compute: Callable[[pa.Table], pa.Table]
) -> bool:
    """Compute a partition of `derived` from the same partition of the table `of`, unless it is up to date.

    `compute` takes the input's rows and returns rows in the schema and the order (`sort`) of `derived`. Returns whether
    anything was written. Several workers may call this at the same time: the result from the newest input wins. Calling
    it again is safe.

    Raises ObjectNotFound when the input has no such partition, ValueError when `derived` is not a derived table or the
    rows have another schema, NewerSchema when a newer version computed the partition, MergeContention when others were
    faster at every try, and StoreUnavailable.
    """
    if derived.keep != "replace":
        raise ValueError(f'{derived.name} keeps the {derived.keep}; a derived table has keep="replace"')
    target = partition_key(derived, partition)
    for _ in attempts(target):  # pragma: no branch - it ends by raising
        # The stored version is read first, so the new result is at least as new as the one it replaces.
        stored, computed_from = _stored(store, derived, target)
        origin = partition_key(of, partition)
        source = store.get(origin)
        if computed_from == source.info.etag:
            return False
        rows = compute(decode(source.data, of, origin))
        if not rows.schema.equals(derived.schema):
            raise ValueError(f"the rows computed for {derived.name} have the schema {rows.schema}")
        if swap(store, target, encode(rows, derived, {INPUT_ETAG: source.info.etag}), stored):
            return True
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def _stored(store: ObjectStore, derived: Table, key: str) -> tuple[str | None, str | None]:
    """The ETag of a derived object, and that of the input that it was computed from; (None, None) without an object.

    If an older version of the schema computed it, the second is None too, and so it is computed again.
    """
    try:
        found = store.get(key)
    except ObjectNotFound:
        return None, None
    check(found.data, derived, key, to_write=True)
    said = footer(found.data)
    return found.info.etag, said.get(INPUT_ETAG) if version_of(said) == derived.version else None
