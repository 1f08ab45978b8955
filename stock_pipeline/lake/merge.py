"""existing + incoming → merged, by the table's key and its keep rule.

No I/O: the compare-and-swap around a merge is in `lake`.

The cost is a few passes over integer arrays. The key of a row is one integer (see `packing`). A lookup array indexed by
it answers "is this key stored, and where?" without hashing or comparing strings row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stock_pipeline.arrow import Bools, Ints, booleans
from stock_pipeline.lake.assembly import in_order, put_together
from stock_pipeline.lake.comparing import same_at
from stock_pipeline.lake.completion import Completed, agreeing, complete, nothing, restated
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.packing import pack, packed_keys
from stock_pipeline.lake.revisions import Change, dated, raised
from stock_pipeline.lake.sorted_rows import Sorted
from stock_pipeline.lake.views import Renewal, renewals
from stock_pipeline.schemas import Table

Outcomes = npt.NDArray[np.int8]
Places = npt.NDArray[np.int32]

_LEADING = 2
"""How many columns of an order are compared for all rows. The others are compared only for rows that are equal so far.
"""


@dataclass(frozen=True)
class Merged:
    """The result of a merge.

    `sorted` is the whole partition after the merge, or None when nothing changes. `outcome` (int8, values of `Outcome`)
    has one entry a row of the incoming table. `conflicts` are the positions of the incoming rows that are a conflict.
    Row i of `conflicting` is the row that holds the key of the incoming row `conflicts[i]`. `own` marks
    the incoming rows whose key an earlier attempt of the same ingest has stored. `agreed` marks incoming rows that are
    equal to a stored row of another source; it is filled only when there are conflicts. `met` makes, for the incoming
    rows that were not inserted, the rows of the partition that hold their keys (none where the greatest stays).
    `revised` has the stored rows that change, as rows of the table of revisions; None without such rows. `again` are
    the incoming rows for another try (see `revisions.raised`).
    """

    sorted: Sorted | None
    outcome: Outcomes
    conflicts: Ints
    conflicting: pa.Table
    own: Bools
    agreed: Bools
    met: Callable[[], pa.Table]
    again: pa.Table
    revised: pa.Table | None = None

    @property
    def table(self) -> pa.Table | None:
        """The whole partition after the merge as one sorted table, or None when nothing changes."""
        return self.sorted and self.sorted.table


@dataclass(frozen=True)
class _Places:
    """For each incoming row: the first incoming row of its key, and the stored row of its key (-1 for none)."""

    first: Places
    stored: Places


def merge(existing: pa.Table | None, incoming: pa.Table, table: Table, *, replace: bool = False) -> Merged:
    """Merge incoming rows into a partition's rows. The first row of each key stays.

    Both tables have the table's schema; `existing` holds each key once. A row whose key is taken adds nothing to the
    row that holds it (DUPLICATE), completes it (UPDATED), or has other values (CONFLICT); `completion` says which. With
    `replace` the first incoming row of a key replaces a stored row with other values (REPLACED), and keeps those that
    it does not have itself (CONFLICT if they do not fit). Among the incoming rows themselves the first still wins.

    A stored row with the same provenance as an incoming one (source and etl_loading_ts) was stored by an earlier
    attempt of the same ingest whose reply was lost. The first row of its key is counted as INSERTED, and all rows of
    that key are `own`: a caller that still has their outcome from that attempt must use that one.

    Every incoming row renews the views (see `views`) of its key, whichever row holds the key. A row that changes the
    values of a view, and adds nothing else, is UPDATED. The stored row keeps its source.

    Where the greatest stays, there are no conflicts. The row of a key with the greatest `order` columns stays (INSERTED
    if it came in). Every other row is a DUPLICATE, or UPDATED if it equals that row in these columns and completes it.
    """
    existing = table.no_rows if existing is None else existing
    if table.keep == "greatest":
        return _merge_greatest(existing, incoming, table)
    places, again = _placed(existing, incoming, table), incoming
    first, stored = places.first, places.stored
    outcome, others = _judged(existing, incoming, table, places)
    if replace:
        incoming, others = _restated(existing, incoming, table, places, outcome, others)

    completed, owner, base = _let_in(existing, incoming, table, places, outcome, others)
    repeated = np.flatnonzero((stored >= 0) & (outcome == Outcome.DUPLICATE))
    met = partial(_met, existing, stored[repeated], completed)
    outcome[others] = completed.outcome
    disputed = np.flatnonzero(completed.outcome == Outcome.CONFLICT)
    conflicts, conflicting = others[disputed], completed.rows.take(owner[disputed])
    is_first = first == np.arange(len(first))
    takes_key = is_first & ((outcome == Outcome.INSERTED) | (outcome == Outcome.REPLACED))
    found = _renewals(existing, incoming, table, places, outcome)
    own = _own(existing, incoming, table, outcome, places)
    outcome[own & is_first & (outcome == Outcome.DUPLICATE)] = Outcome.INSERTED
    agreed = _agreed(existing, incoming, table, outcome, stored) if len(conflicts) else np.zeros(len(outcome), bool)
    if not takes_key.any() and not completed.changed.any() and not found:
        return Merged(None, outcome, conflicts, conflicting, own, agreed, met, again)
    taker = np.flatnonzero(outcome == Outcome.REPLACED)
    keep, revised = np.concatenate([np.ones(existing.num_rows, bool), takes_key]), None
    keep[stored[taker]] = False
    rows, place = put_together([existing, incoming], len(keep), completed, base, found)
    change = Change.of(existing.num_rows, stored[taker], existing.num_rows + taker, base, found, place)
    if table.revisions and len(change.stored):
        rows, revised, least = dated(existing, rows, change, table)
        again = raised(again, least, stored)
    return Merged(in_order(rows, table, place, keep), outcome, conflicts, conflicting, own, agreed, met, again, revised)


def _met(existing: pa.Table, stored: Places, completed: Completed) -> pa.Table:
    return pa.concat_tables([existing.take(stored), completed.rows])


def _placed(existing: pa.Table, incoming: pa.Table, table: Table) -> _Places:
    stored_keys, keys, span = packed_keys(existing, incoming, table.key)
    at = np.arange(len(keys), dtype=np.int32)  # a partition object has fewer than 2**31 rows
    slot = np.full(span, -1, np.int32)
    slot[keys[::-1]] = at[::-1]  # written backwards, so that the first occurrence is what remains
    first = slot[keys]
    slot.fill(-1)
    slot[stored_keys] = np.arange(len(stored_keys))
    return _Places(first, slot[keys])


def _judged(existing: pa.Table, incoming: pa.Table, table: Table, places: _Places) -> tuple[Outcomes, Ints]:
    """The outcomes of rows that are new or equal the row of their key; and the rows that are left."""
    first, stored = places.first, places.stored
    outcome = np.full(len(first), Outcome.INSERTED, np.int8)
    taken = np.flatnonzero(stored >= 0)
    outcome[taken] = Outcome.DUPLICATE
    others = taken[~same_at(existing, stored[taken], incoming, taken, table.values)]
    behind = np.flatnonzero((first != np.arange(len(first))) & (stored < 0))
    return outcome, np.sort(np.concatenate([others, _behind(incoming, table, first, behind, outcome)]))


def _restated(
    existing: pa.Table, incoming: pa.Table, table: Table, places: _Places, outcome: Outcomes, others: Ints
) -> tuple[pa.Table, Ints]:
    """Let the first row of each key replace a stored row with other values, and keep what it does not mention.

    Returns the incoming rows with the values that they keep, and the rows that are left.
    """
    first, stored = places.first, places.stored
    leads = others[(first[others] == others) & (stored[others] >= 0)]
    leads = leads[~agreeing(existing.take(stored[leads]), incoming.take(leads), table)]
    rows, fits = restated(existing.take(stored[leads]), incoming.take(leads), table)
    leads, rows = leads[fits], rows.filter(booleans(fits))
    if not len(leads):
        return incoming, others
    outcome[leads] = Outcome.REPLACED
    at = np.arange(incoming.num_rows)
    at[leads] = incoming.num_rows + np.arange(len(leads))
    incoming = pa.concat_tables([incoming, rows]).take(at)
    # Later rows of a key are compared with its first row, where the first row stays.
    gave_way = outcome[first] == Outcome.REPLACED
    behind = np.flatnonzero((first != np.arange(len(first))) & gave_way)
    differ = _behind(incoming, table, first, behind, outcome)
    return incoming, np.sort(np.concatenate([others[~gave_way[others]], differ]))


def _behind(incoming: pa.Table, table: Table, first: Places, behind: Ints, outcome: Outcomes) -> Ints:
    """Compare later rows of a key with its first row. Returns those that differ; the others are duplicates."""
    outcome[behind] = Outcome.DUPLICATE
    return behind[~same_at(incoming, first[behind], incoming, behind, table.values)]


def _let_in(
    existing: pa.Table, incoming: pa.Table, table: Table, places: _Places, outcome: Outcomes, others: Ints
) -> tuple[Completed, Ints, Ints]:
    """The outcomes of rows that differ from the row that holds their key, in their order.

    Also: for each row the row that holds its key, as an index; and the positions of the changed rows among the existing
    and the incoming rows.
    """
    if not len(others):
        none = np.zeros(0, np.int64)
        return nothing(incoming), none, none
    heads, owner = np.unique(places.first[others], return_inverse=True)
    stored = places.stored[heads]
    on_stored = (stored >= 0) & (outcome[heads] != Outcome.REPLACED)
    held = pa.concat_tables([existing.take(stored[on_stored]), incoming.take(heads[~on_stored])])
    held = held.take(np.argsort(np.argsort(~on_stored, kind="stable")))  # in the order of the heads again
    completed = complete(held, incoming.take(others), owner, table)
    return completed, owner, np.where(on_stored, stored, existing.num_rows + heads)[completed.changed]


def _renewals(
    existing: pa.Table, incoming: pa.Table, table: Table, places: _Places, outcome: Outcomes
) -> list[Renewal]:
    """The views that rows take from other rows of their key. Rows that gave one have the outcome UPDATED."""
    if not table.views or (outcome == Outcome.INSERTED).all():
        return []
    given = any(incoming.column(n).null_count < incoming.num_rows for view in table.views for n in view.columns)
    replaced = outcome == Outcome.REPLACED
    if not given and not replaced.any():
        return []
    gave_way = replaced[places.first]
    holders = np.where((places.stored >= 0) & ~gave_way, places.stored, existing.num_rows + places.first)
    came = np.flatnonzero((outcome != Outcome.INSERTED) & ~replaced)
    candidates = np.concatenate([existing.num_rows + came, places.stored[replaced]])
    both = pa.concat_tables([existing, incoming])
    found = renewals(both, table, candidates, np.concatenate([holders[came], holders[replaced]]))
    for renewal in found:
        givers = renewal.givers[renewal.differs] - existing.num_rows
        givers = givers[givers >= 0]
        outcome[givers[outcome[givers] == Outcome.DUPLICATE]] = Outcome.UPDATED
    return found


def _merge_greatest(existing: pa.Table, incoming: pa.Table, table: Table) -> Merged:
    both = pa.concat_tables([existing, incoming]).unify_dictionaries() if existing.num_rows else incoming
    old, new, span = packed_keys(both.slice(0, existing.num_rows), both.slice(existing.num_rows), table.key)
    keys = np.concatenate([old, new])
    # The columns that decide for most rows: those before the first column that is rarely needed, or is a text.
    lead, ties = table.order[:_LEADING], table.order[_LEADING:]
    leads, _ = pack(both, lead)
    greatest = np.full(span, -1, np.int64)
    np.maximum.at(greatest, keys, leads)
    leads_its_key = leads == greatest[keys]
    leading = np.flatnonzero(leads_its_key)
    # Few rows are left. Most of them have no equal; of the others the last in the order of the remaining columns stays,
    # an existing row before its equal.
    few, key_of = both.filter(booleans(leads_its_key)), keys[leading]
    stays = np.bincount(key_of)[key_of] == 1
    contested = np.flatnonzero(~stays)
    twins, twin_of = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(contested):
        conflicting, at = few.take(contested), leading[contested]
        place = pack(conflicting, (*table.key, *ties))[0]
        order = np.lexsort((-at, place))
        contested, place = contested[order], place[order]
        last = np.append(np.diff(key_of[contested]) != 0, True)
        stays[contested[last]] = True
        winner = np.flatnonzero(last)[np.cumsum(last) - last]
        same = np.flatnonzero((place == place[winner]) & ~last)[::-1]  # as they came
        twins, twin_of = contested[same], contested[winner[same]]

    outcome = np.full(incoming.num_rows, Outcome.DUPLICATE, np.int8)
    new = leading[stays & (leading >= existing.num_rows)]
    outcome[new - existing.num_rows] = Outcome.INSERTED
    held, owner = np.unique(twin_of, return_inverse=True)
    completed = complete(few.take(held), few.take(twins), owner, table) if len(twins) else nothing(few)
    outcome[leading[twins[completed.outcome == Outcome.UPDATED]] - existing.num_rows] = Outcome.UPDATED
    changed = None
    if len(new) or completed.changed.any():
        rows, place = put_together([few], len(stays), completed, held[completed.changed])
        changed = in_order(rows, table, place, stays)
    none, nobody = np.zeros(0, np.int64), np.zeros(len(outcome), bool)
    return Merged(changed, outcome, none, table.no_rows, nobody, nobody, lambda: table.no_rows, incoming)


def _own(existing: pa.Table, incoming: pa.Table, table: Table, outcome: Outcomes, places: _Places) -> Bools:
    """The rows whose key this same ingest has stored already: the stored row has the provenance of one of them."""
    own = np.zeros(len(outcome), bool)
    if not table.provenance:
        return own
    at = np.flatnonzero((outcome == Outcome.DUPLICATE) & (places.stored >= 0))
    for name in reversed(table.provenance):  # most rows differ in their time, so it is compared first
        at = at[same_at(existing, places.stored[at], incoming, at, (name,))]
    if len(at):
        own[places.first[at]] = True
        own = own[places.first]
    return own


def _agreed(existing: pa.Table, incoming: pa.Table, table: Table, outcome: Outcomes, stored: Places) -> Bools:
    """The rows that are equal to a stored row of another source."""
    agreed = np.zeros(len(outcome), bool)
    at = np.flatnonzero((stored >= 0) & ((outcome == Outcome.DUPLICATE) | (outcome == Outcome.UPDATED)))
    agreed[at[~same_at(existing, stored[at], incoming, at, table.provenance[:1])]] = True
    return agreed
