"""One failure policy for everybody who ingests objects together: Dagster's runs, the Lambda functions, `reconcile`.

- The store is away, a permission is missing, other writers were always faster: that would fail for every object. It is
  raised at once, and costs one call however many objects there are.
- One object breaks the ingest: only that object fails. The others are stored.

Who tells of the objects (messages, events, runs) and how a failure is answered does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stock_pipeline.errors import ObjectsFailed, StockPipelineError, StoreError, StoreUnavailable
from stock_pipeline.receipts import Receipt

Ingest = Callable[[Sequence[str]], list[Receipt]]
"""Brings the objects under some keys into a table; a receipt for each, or for the first ones when time runs out."""

NO_TIME = "no time was left for it"

_ALIKE = 10
"""When the store refuses so many objects one after the other and none is taken, it is not the objects' fault."""


@dataclass(frozen=True)
class Ingested:
    """What became of objects that were ingested together. Each key is in exactly one of the three.

    `receipts` are those of objects that are done: stored, or refused with the reason on record. `gone` are the receipts
    of objects that do not exist. `failed` says of each other object why it is not done; it may be tried again.
    """

    receipts: list[Receipt] = field(default_factory=list)
    gone: list[Receipt] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def not_done(self) -> dict[str, str]:
        """Why each object that is gone or failed is not done, by its key."""
        return {receipt.source: receipt.refused or "it does not exist" for receipt in self.gone} | self.failed

    def failure(self) -> ObjectsFailed:
        """The error that says how many objects are not done, and why the first of them is not."""
        key, reason = next(iter((self.failed | self.not_done).items()))
        total = len(self.receipts) + len(self.not_done)
        return ObjectsFailed(f"{len(self.not_done)} of {total} objects failed; {key}: {reason}")


def ingest_each(keys: Sequence[str], ingest: Ingest, go_on: Callable[[], bool] = lambda: True) -> Ingested:
    """Ingest objects together. When one of them breaks the ingest, only that one fails.

    It is found by halves: a group that breaks is split, and each half tried again, in the order of the keys. `go_on` is
    asked before each further try. Once it says no, the rest fails for want of time, as do the objects for which
    `ingest` itself had no time. What was stored stays stored.

    Raises what would fail for every object: StoreUnavailable, MergeContention, StoreError of a bucket that is missing
    or closed. If that happens after some objects are done, these are returned and all others have failed.
    """
    receipts: list[Receipt] = []
    failed: dict[str, str] = {}
    groups, refused = [keys] if keys else [], 0
    while groups:
        group = groups.pop()
        try:
            receipts += ingest(group)
        except Exception as error:
            alone = len(group) == 1
            refused += alone and isinstance(error, StoreError)
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
    told = {receipt.source for receipt in receipts} | failed.keys()
    return Ingested(
        [receipt for receipt in receipts if receipt.etag],
        [receipt for receipt in receipts if not receipt.etag],
        failed | {key: NO_TIME for key in keys if key not in told},
    )


def _fails_for_all(error: Exception, keys: Sequence[str]) -> bool:
    """Whether an error says nothing about one of these objects, but about what all of them need."""
    if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable):
        return error.key not in keys  # an object may be closed by itself: by its encryption, in an archive
    return isinstance(error, StockPipelineError)


def _reason(error: Exception) -> str:
    """An error in words of ours; of any other only its kind, as its message may hold what stood in a row."""
    return str(error) if isinstance(error, StockPipelineError) else f"{type(error).__name__} while it was ingested"
