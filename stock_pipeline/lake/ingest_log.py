"""Which versions of which sources an object of a table was made from, in the order in which they were merged into it.

The log is in the object's footer, so that one PUT commits the rows and their log together. An ingest that changes
nothing in an object writes no entry. So the log of an object says exactly which ingests have to be made again, and in
which order, to get its rows again. Objects of earlier versions of this package have no log; theirs begins with the
next commit.

What does not belong here: what was not stored, and how a source that changed nothing was read (`rejected_records`).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

INGESTS = "ingests"
"""The footer key of the log."""

Options = tuple[tuple[str, str | int], ...]
"""How a person told to read a source, as sorted pairs: `(("dates", "dmy"), ("symbol", "AAPL"))`."""


@dataclass(frozen=True)
class Logged:
    """One ingest of one version (its ETag) of a source that changed an object.

    If the source has rows of several partitions, `then` names the next of them, and the last one names the first. So an
    object that has lost an ingest is found through the object before it. `replace` marks a restatement.
    """

    source: str
    etag: str
    then: str = ""
    replace: bool = False
    options: Options = ()


@dataclass(frozen=True)
class IngestLog:
    """The log of one object, the oldest entry first."""

    entries: tuple[Logged, ...] = ()

    @classmethod
    def of_footer(cls, footer: Mapping[str, str]) -> IngestLog:
        """The log that `in_footer` wrote; an empty one if there is none. Raises ValueError for another text."""
        if INGESTS not in footer:
            return _EMPTY
        told = json.loads(zlib.decompress(base64.b64decode(footer[INGESTS])))
        return cls(
            tuple(
                Logged(source, etag, then, bool(replace), tuple((name, value) for name, value in options))
                for source, etag, then, replace, options in told
            )
        )

    def in_footer(self) -> dict[str, str]:
        """The log as an entry of a footer."""
        if not self.entries:
            return {}
        told = [(e.source, e.etag, e.then, int(e.replace), e.options) for e in self.entries]
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return {INGESTS: base64.b64encode(zlib.compress(text, 1)).decode()}

    def plus(self, entries: Iterable[Logged]) -> IngestLog:
        """This log with further entries."""
        return IngestLog((*self.entries, *entries))

    def without(self, source: str) -> IngestLog:
        """This log without the entries of a source, whose rows were taken out."""
        return IngestLog(tuple(entry for entry in self.entries if entry.source != source))

    def times(self, source: str, etag: str) -> int:
        """How many ingests of a version of a source changed the object."""
        return self._times[source, etag]

    @cached_property
    def sources(self) -> frozenset[str]:
        """The sources that the log names."""
        return frozenset(entry.source for entry in self.entries)

    @cached_property
    def _times(self) -> Counter[tuple[str, str]]:
        return Counter((entry.source, entry.etag) for entry in self.entries)


_EMPTY = IngestLog()
