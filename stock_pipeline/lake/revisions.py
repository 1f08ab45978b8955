"""Rows that change or leave a table → rows of its table of revisions, and since when each version of a row is known.

Each version of a row is known from its `etl_loading_ts` until the next one. So the versions of one key must have
ascending times, whatever the clocks of the writers say: a row that takes the place of another one, or changes it, gets
the loading time of its ingest, or one microsecond more than the row before it, whichever is later. The provenance of a
row then identifies the version. A revision has it as its key, so writing the same revision again adds nothing.

A revision is written before the version is gone (see `partitions`). Its writer may die in between, or lose the race to
another one. Then the version has two candidates for its end, and the later end stays. So `known_to` is never before the
true end. A reader of the past takes, for each key, the last version that began until then (see `query.past`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Codes, Ints, as_arrow, concatenated, microseconds, strings
from stock_pipeline.lake.comparing import Places, same_at
from stock_pipeline.lake.packing import places_of
from stock_pipeline.lake.views import Renewal
from stock_pipeline.schemas import TABLES, TIMESTAMP, Table

_LOADED = "etl_loading_ts"


class Became(IntEnum):
    """What became of a version of a row. The names are the words in the table."""

    REPLACED = 0  # a restatement has other values
    UPDATED = 1  # another source completed it, or renewed its adjusted close
    REMOVED = 2  # its source was taken out
    REBUILT = 3  # the raw objects say something else than was stored


@dataclass(frozen=True)
class Change:
    """Stored rows that a merge changes. `stored` are positions among the stored rows; `rows` (the rows in their place)
    and `givers` (the rows that changed them) are positions among the rows after the merge. `became` has values of
    `Became`.
    """

    stored: Ints
    rows: Ints
    givers: Ints
    became: Codes

    @classmethod
    def of(cls, number: int, taken: Places, takers: Ints, base: Ints, found: Sequence[Renewal], place: Ints) -> Change:
        """What a merge into `number` stored rows changes: those at `taken` give way to the rows at `takers`, those at
        `base` are completed, and views are renewed. `place` gives the position of each row after the merge.
        """
        completed = base[base < number]
        stored, rows, givers = [taken, completed], [place[takers], place[completed]], [takers, place[completed]]
        for renewal in found:
            mine = renewal.differs & (renewal.rows < number)
            stored.append(renewal.rows[mine])
            rows.append(place[renewal.rows[mine]])
            givers.append(renewal.givers[mine])
        every, first = np.unique(np.concatenate(stored).astype(np.int64), return_index=True)
        became = np.where(first < len(taken), Became.REPLACED, Became.UPDATED).astype(np.int32)
        return cls(every, np.concatenate(rows)[first], np.concatenate(givers).astype(np.int64)[first], became)


def dated(existing: pa.Table, rows: pa.Table, change: Change, table: Table) -> tuple[pa.Table, pa.Table, Ints]:
    """The rows after a merge with the loading times of the changed ones, the revisions of these, and for each existing
    row the least loading time of its next version (0 where it did not change).
    """
    was, given = _loaded(existing)[change.stored], _loaded(rows)
    given[change.rows] = np.maximum(given[change.givers], was + 1)
    least = np.zeros(existing.num_rows, np.int64)
    least[change.stored] = was + 1
    by = rows["source"].take(as_arrow(change.givers, pa.int64()))
    gone = existing.take(as_arrow(change.stored, pa.int64()))
    return _with_loaded(rows, given), _revisions(gone, given[change.rows], by, change.became, table), least


def _revisions(gone: pa.Table, until: Ints, by: pa.ChunkedArray | None, became: Codes, table: Table) -> pa.Table:
    """Rows that are about to change or to leave the table, as rows of its table of revisions.

    `until` (microseconds) is when, and `by` the source that changes each; None: the rows are taken out.
    """
    of = TABLES[table.revisions]
    columns = {name: gone[name] for name in gone.column_names}
    columns |= {"known_from": gone[_LOADED], "known_to": as_arrow(until, TIMESTAMP)}
    columns["replaced_by"] = pa.nulls(gone.num_rows, of.column("replaced_by").type) if by is None else by
    words = strings([kind.name.lower() for kind in Became])
    columns["change"] = pa.DictionaryArray.from_arrays(as_arrow(became, pa.int32()), words, safe=False)
    return pa.Table.from_arrays([columns[name] for name in of.schema.names], schema=of.schema)


def taken_out(gone: pa.Table, now: datetime, table: Table, became: Became = Became.REMOVED) -> pa.Table:
    """The revisions of rows that are about to be taken out of their table."""
    until = np.maximum(_loaded(gone) + 1, microseconds(now))
    return _revisions(gone, until, None, np.full(gone.num_rows, became, np.int32), table)


def succeeded(stored: pa.Table | None, rows: pa.Table, table: Table, now: datetime) -> tuple[pa.Table, pa.Table]:
    """Rows that are to take the place of all stored rows of a partition, and the revisions of these.

    A row with the values of the stored one stays as it is stored, because nothing new became known. Only the moment of
    a view is filled in where an earlier version of this package stored none.
    """
    if stored is None:
        return rows, TABLES[table.revisions].schema.empty_table()
    there = places_of(stored, rows, table.key)
    met = np.flatnonzero(there >= 0)
    rows = _with_loaded(rows, np.maximum(_loaded(rows), microseconds(now)))  # nobody saw them in this place before
    values = (*table.values, *(name for view in table.views for name in view.columns))
    same = same_at(stored, there[met], rows, met, values)
    changed = met[~same]
    left = np.setdiff1d(np.arange(stored.num_rows), there[met])
    rebuilt = np.full(len(changed), Became.REBUILT, np.int32)
    change = Change(there[changed], stored.num_rows + changed, stored.num_rows + changed, rebuilt)
    both, revised, _ = dated(stored, pa.concat_tables([stored, rows]), change, table)
    place = stored.num_rows + np.arange(rows.num_rows)
    place[met[same]] = there[met[same]]
    gone = taken_out(stored.take(as_arrow(left, pa.int64())), now, table, Became.REBUILT)
    found = both.take(as_arrow(place, pa.int64()))
    for name in (view.written_at for view in table.views):
        at = found.schema.get_field_index(name)
        found = found.set_column(at, found.schema.field(at), pc.coalesce(found[name], rows[name]))
    return found, pa.concat_tables([revised, gone]).unify_dictionaries()


def raised(incoming: pa.Table, least: Ints, stored: Places) -> pa.Table:
    """Incoming rows with the loading times that `dated` gave to the rows of their keys, for another try.

    `stored` has the position of the stored row of each key, -1 for none. Without this the next try would not recognize
    the rows that this one may have stored.
    """
    given = _loaded(incoming)
    wanted = np.where(stored >= 0, least[stored], 0) if len(least) else np.zeros(len(given), np.int64)
    return incoming if (wanted <= given).all() else _with_loaded(incoming, np.maximum(given, wanted))


def _loaded(rows: pa.Table) -> Ints:
    return concatenated(rows[_LOADED], np.int64)


def _with_loaded(rows: pa.Table, times: Ints) -> pa.Table:
    at = rows.schema.get_field_index(_LOADED)
    return rows.set_column(at, rows.schema.field(at), as_arrow(times, TIMESTAMP))
