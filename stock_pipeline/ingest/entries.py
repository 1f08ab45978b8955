"""The entries that a group of sources writes into the logs of the partitions (see `lake.ingest_log`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np

from stock_pipeline.arrow import Codes, Ints
from stock_pipeline.ingest.sources import SourceObject
from stock_pipeline.lake.ingest_log import IngestLog, Logged
from stock_pipeline.lake.merge import Merged
from stock_pipeline.lake.outcome import Outcome

CHANGES = (Outcome.INSERTED, Outcome.REPLACED, Outcome.UPDATED)
"""The outcomes of rows that change a partition."""

_COUNTED = 1 << 22
"""So many pairs of a source and a partition, at most, are found by counting; more of them by sorting."""


class Entries:
    """The entries of a group. `codes` gives the partition of each row as an index into `names`, which are in order.
    `restated` is the time of a restatement; None if it is none.
    """

    def __init__(self, group: Sequence[SourceObject], codes: Ints, names: list[str], restated: datetime | None) -> None:
        self._group, self._restated = group, restated
        owners = np.repeat(np.arange(len(group)), [source.rows for source in group])
        self._then = _next_partitions(owners, codes, names) if len(names) > 1 else {}

    def log(self, partition: str, owners: Codes) -> Callable[[Merged, IngestLog], IngestLog]:
        """What makes the log of a partition after each try of a merge of rows, whose sources are `owners`."""
        return lambda merged, before: self._after(partition, owners, merged, before)

    def _after(self, partition: str, owners: Codes, merged: Merged, before: IngestLog) -> IngestLog:
        """The log after a merge.

        There is a new entry for each source that changes the partition. The sources also learn how many entries they
        have.
        """
        log = before
        if merged.sorted is not None:
            log = before.plus(
                Logged(
                    (source := self._group[owner]).info.key,
                    source.info.etag,
                    source.then or self._then.get((owner, partition), ""),
                    self._restated is not None,
                    source.options,
                )
                for owner in _present(owners[np.isin(merged.outcome, CHANGES)])
            )
        for owner in _present(owners):
            source = self._group[owner]
            if self._restated and log is not before:
                source.restated = self._restated.isoformat()
            if times := log.times(source.info.key, source.info.etag):
                source.logged[partition] = times
        return log


def _present(owners: Codes) -> list[int]:
    return np.flatnonzero(np.bincount(owners)).tolist() if len(owners) else []


def _next_partitions(owners: Ints, codes: Ints, names: list[str]) -> dict[tuple[int, str], str]:
    """For each source with rows of several partitions, and each of these: the next one; after the last the first."""
    pairs = owners * len(names) + codes
    few = len(owners) > 0 and (int(owners[-1]) + 1) * len(names) <= _COUNTED
    owner, code = np.divmod(np.flatnonzero(np.bincount(pairs)) if few else np.unique(pairs), len(names))
    begins = np.append(True, owner[1:] != owner[:-1])
    first = code[begins][np.cumsum(begins) - 1]
    following = np.where(np.append(begins[1:], True), first, np.append(code[1:], 0))
    apart = np.flatnonzero(following != code)
    return {
        (mine, names[here]): names[then]
        for mine, here, then in zip(*(found[apart].tolist() for found in (owner, code, following)), strict=True)
    }
