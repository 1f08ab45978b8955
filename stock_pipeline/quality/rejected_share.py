"""The share of rejected rows. The rejected records give the count, the settings give the limits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.quality.finding import Finding
from stock_pipeline.schemas import Reason
from stock_pipeline.settings import Settings

_NOT_COUNTED = [Reason.CONFLICT.value, Reason.REPLACED.value, Reason.REMOVED.value]
"""Reasons that do not mean a bad row: the table held other values already, or gave these values up later."""


@dataclass(frozen=True)
class Share:
    """Rejected rows (`source`, `reason`) and how many rows were stored beside them."""

    rejected: pa.Table
    stored: int

    @classmethod
    def of(cls, rejects: pa.Table, sources: Collection[str], stored: int) -> Share:
        """The share of some sources."""
        mine = pc.is_in(rejects["source"], pa.array(sorted(sources), pa.string()))
        return cls(rejects.filter(mine), stored)

    @property
    def percent(self) -> float:
        total = self.rejected.num_rows + self.stored
        return 100 * self.rejected.num_rows / total if total else 0.0

    def judged(self, settings: Settings) -> Finding:
        """The finding by the limits of the settings. Nobody knows how many rows a refused file has, so it is always a
        finding.
        """
        refused = pc.sum(pc.equal(self.rejected["reason"], Reason.FILE_REFUSED.value)).as_py() or 0
        error = self.percent > settings.rejected_fail_percent
        found = error or self.percent > settings.rejected_warn_percent or bool(refused)
        counts = {
            "rejected": self.rejected.num_rows,
            "rejected_percent": round(self.percent, 3),
            "refused_files": refused,
            "warns_above_percent": settings.rejected_warn_percent,
            "fails_above_percent": settings.rejected_fail_percent,
        }
        rows = self.rejected.num_rows
        said = f"{rows:,} of {rows + self.stored:,} rows were rejected"
        return Finding(rows if found else 0, self._by_source(), counts, error, said)

    def _by_source(self) -> pa.Table:
        """How many rows of each source were rejected for each reason, most first."""
        counted = self.rejected.group_by(["source", "reason"]).aggregate([([], "count_all")])
        return counted.rename_columns({"count_all": "rows"}).sort_by(
            [("rows", "descending"), ("source", "ascending"), ("reason", "ascending")]
        )


def counted_reasons(rejects: pa.Table) -> pa.Table:
    """Source and reason, as plain strings, of the records of rows that something is wrong with.

    A row that is stored without one of its values is not among them.
    """
    rejects = rejects.filter(pc.invert(rejects["stored"]))
    plain = rejects.select(["source", "reason"]).cast(pa.schema([("source", pa.string()), ("reason", pa.string())]))
    return plain.filter(pc.invert(pc.is_in(plain["reason"], pa.array(_NOT_COUNTED))))
