"""One failure policy for all callers that ingest objects together: Dagster's runs, the Lambda functions, `reconcile`.

- The store cannot be reached, a permission is missing, or other writers were always faster: this would fail for every
  object. It is raised at once, after one call, whatever the number of objects.
- One object breaks the ingest, or needs an object of the lake that is damaged: only that one fails. The others are
  stored. When every object needs the damaged one, this too is raised after some tries.

What does not belong here: where the objects come from (messages, events, runs), and how a failure is reported to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stock_pipeline.errors import DamagedObject, ObjectsFailed, StockPipelineError, StoreError, StoreUnavailable
from stock_pipeline.lake.object_store import Named, named
from stock_pipeline.receipts import Receipt

Ingest = Callable[[Sequence[Named]], list[Receipt]]
"""A function that brings objects into a table. It returns a receipt for each, in their order, or for the first ones
when time runs out.
"""

NO_TIME = "no time was left for it"

_ALIKE = 10
"""When this many objects fail in a row by what the store has or refuses, and none is done, the cause is not in them."""


@dataclass(frozen=True)
class Ingested:
    """What became of objects that were ingested together. Each object is in exactly one of the three fields.

    `receipts` are those of objects that are done: stored, or refused with the reason on record. Among them are versions
    that an event or a listing named and that were deleted for good before they were read (`file_gone` on record).
    `gone` are the receipts of keys under which there is no object, and nobody named a version. `failed` says for each
    other object why it is not done; it may be tried again.
    """

    receipts: list[Receipt] = field(default_factory=list)
    gone: dict[Named, Receipt] = field(default_factory=dict)
    failed: dict[Named, str] = field(default_factory=dict)

    @property
    def not_done(self) -> dict[Named, str]:
        """The reason for each object that is gone or failed, as the caller named it."""
        return {what: receipt.refused or "it does not exist" for what, receipt in self.gone.items()} | self.failed

    def failure(self) -> ObjectsFailed:
        """The error that says how many objects are not done, and why the first of them is not."""
        key, reason = next(iter((self.failed | self.not_done).items()))
        total = len(self.receipts) + len(self.not_done)
        return ObjectsFailed(f"{len(self.not_done)} of {total} objects failed; {key}: {reason}")


def ingest_each(keys: Sequence[Named], ingest: Ingest, go_on: Callable[[], bool] = lambda: True) -> Ingested:
    """Ingest objects together. When one of them breaks the ingest, only that one fails.

    It is found by halves: a group that breaks is split, and each half is tried again, in the order of the keys. `go_on`
    is called before each further try. When it returns False, the rest fails because no time was left, as do the objects
    for which `ingest` itself had no time. Stored rows stay stored.

    Raises errors that would come for every object: StoreUnavailable, MergeContention, StoreError of a bucket that is
    missing or closed, DamagedObject of an object of the lake that all of them need. If such an error comes after some
    objects are done, these are returned and all others count as failed.
    """
    keys = list(dict.fromkeys(keys))
    receipts: list[Receipt] = []
    told: dict[Named, Receipt] = {}
    failed: dict[Named, str] = {}
    groups, refused = [keys] if keys else [], 0
    while groups:
        group = groups.pop()
        try:
            done = ingest(group)
            receipts += done
            told |= dict(zip(group, done, strict=False))  # a receipt for each, or for the first ones
        except Exception as error:
            alone = len(group) == 1
            refused += alone and isinstance(error, (StoreError, DamagedObject))
            if _fails_for_all(error, group) or (refused == _ALIKE and not receipts):
                if not receipts:
                    raise
                failed |= {key: _reason(error) for left in (group, *groups) for key in left}
                break
            if alone:
                failed[group[0]] = _reason(error)
            else:
                groups += [group[len(group) // 2 :], group[: len(group) // 2]]
        if not go_on():
            break
    return Ingested(
        [receipt for receipt in receipts if receipt.etag],
        {what: receipt for what, receipt in told.items() if not receipt.etag},
        failed | {key: NO_TIME for key in keys if key not in told.keys() | failed.keys()},
    )


def _fails_for_all(error: Exception, keys: Sequence[Named]) -> bool:
    """Whether an error is not about one of these objects, but about something that all of them need."""
    if isinstance(error, DamagedObject):
        return False  # only what needs that object of the lake fails
    if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable):
        return error.key not in {
            named(key).key for key in keys
        }  # access to a single object may fail: by its encryption, or because it is archived
    return isinstance(error, StockPipelineError)


def _reason(error: Exception) -> str:
    """The message of one of our errors. For any other error only its type, because its message may contain data from a
    row.
    """
    return str(error) if isinstance(error, StockPipelineError) else f"{type(error).__name__} while it was ingested"
