"""The layout of history in the lake: read it, settle days, change it. It is one object, under compare-and-swap.

Two writers never place one tick in two objects. Before a writer stores the first tick of a day, that day is settled in
the stored layout: from then on the layout cannot change for it. A change is accepted only from a day on that is not
settled and has not begun. So every version of the layout has the same sections for the days that it settles. A process
may keep a version as long as it likes, and reads the layout again only for a day that this version does not settle.
That holds whatever the clocks of the writers show.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from weakref import WeakKeyDictionary

from stock_pipeline.errors import LayoutError, ObjectNotFound
from stock_pipeline.lake.layout import Layout, Section
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import attempts, swap
from stock_pipeline.lake.recognized_layout import recognized
from stock_pipeline.schemas import STREAM_PRICES_HISTORY

LAYOUT_KEY = f"{STREAM_PRICES_HISTORY.prefix}_layout.json"
"""Query engines ignore names that begin with an underscore."""

_KNOWN: WeakKeyDictionary[ObjectStore, Layout] = WeakKeyDictionary()
"""The last version that this process read from each lake."""


def layout_to_write(lake: ObjectStore, last: date) -> Layout:
    """The layout for a writer of ticks up to the UTC day `last`. That day is then settled in the stored layout.

    A lake without a layout gets one: see `recognized`. Raises LayoutError, MergeContention and StoreUnavailable.
    """
    known = _KNOWN.get(lake)
    if known and known.settles(last):
        return known
    for _ in attempts(LAYOUT_KEY):  # pragma: no branch - it ends by raising
        found, etag = _stored_or_recognized(lake)
        layout = found.settled_through(last)
        if (layout == found and etag) or swap(lake, LAYOUT_KEY, layout.to_json(), etag):
            _KNOWN[lake] = layout
            return layout
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def layout_to_read(lake: ObjectStore, last: date) -> Layout:
    """The layout for a reader of ticks up to the UTC day `last`. Writes nothing.

    When a day is not settled, no tick of it is stored. Raises LayoutError and StoreUnavailable.
    """
    return known_layout(lake, last) or _stored_or_recognized(lake)[0]


def known_layout(lake: ObjectStore, last: date) -> Layout | None:
    """The stored layout for a reader of ticks up to the UTC day `last`, or None. Raises as `layout_to_read` does."""
    known = _KNOWN.get(lake)
    if known and known.settles(last):
        return known
    stored, _ = stored_layout(lake)
    if stored:
        _KNOWN[lake] = stored
    return stored


def change_layout(lake: ObjectStore, section: Section, *, now: datetime | None = None) -> Layout:
    """Let a section replace all sections from its day on, and return the new layout.

    Raises LayoutError when that day has begun (UTC), or is settled because ticks of it are stored.
    """
    today = (now or datetime.now(UTC)).date()
    if section.first <= today:
        raise LayoutError(
            f"{section.first} has begun, and its ticks have their place; the layout changes from a day on that lies "
            f"ahead (UTC), such as {Layout.of(1).settled_through(today).settled_before}"
        )
    for _ in attempts(LAYOUT_KEY):  # pragma: no branch - it ends by raising
        found, etag = _stored_or_recognized(lake)
        layout = found.changed(section)
        if (layout == found and etag) or swap(lake, LAYOUT_KEY, layout.to_json(), etag):
            return layout
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def declare_layout(lake: ObjectStore, section: Section) -> Layout:
    """Write the first layout of a lake, as a person knows it: for one without ticks, or one that `recognized` refuses.

    Raises LayoutError when the lake has a layout already, or its objects of history have one.
    """
    try:
        found = recognized(lake)
    except LayoutError:  # a person must say it
        found = Layout.of(section.minutes)
    if found.settled_before > date.min and found.sections != (section,):
        raise LayoutError(
            f"the lake has ticks, in objects of {found.sections[0].minutes} minutes; name the day from which that "
            "changes with --from DAY"
        )
    layout = Layout((section,), found.settled_before)
    if not swap(lake, LAYOUT_KEY, layout.to_json(), None):
        raise LayoutError("the lake has a layout already; name the day from which it changes with --from DAY")
    return layout


def _stored_or_recognized(lake: ObjectStore) -> tuple[Layout, str | None]:
    """The stored layout and its ETag, or the recognized one and None."""
    stored, etag = stored_layout(lake)
    if stored:
        return stored, etag
    try:
        found = recognized(lake)
    except LayoutError:
        # The objects may be younger than that answer, and so may their layout.
        stored, etag = stored_layout(lake)
        if stored:
            return stored, etag
        raise
    if found.settled_before > date.min:
        stored, etag = stored_layout(lake)
    return stored or found, etag


def stored_layout(lake: ObjectStore) -> tuple[Layout | None, str | None]:
    """The layout in the lake and its ETag; (None, None) when there is none. Raises LayoutError for a damaged one."""
    try:
        found = lake.get(LAYOUT_KEY)
    except ObjectNotFound:
        return None, None
    try:
        return Layout.from_json(found.data), found.info.etag
    except (ValueError, TypeError, KeyError, LayoutError) as error:
        raise LayoutError(
            f"{LAYOUT_KEY} is not a layout ({type(error).__name__}), so nobody can tell where ticks belong; bring back "
            "its last good version from the bucket's versions. Nothing else says what was in it"
        ) from error
