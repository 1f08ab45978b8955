"""What lies in a table's folder: the table's own objects, and foreign ones, which somebody else put there.

An own object has the name that the pipeline gives it, and for history one that the layout has on its day (if the lake
has a layout yet). The pipeline neither reads nor writes any other object. Athena reads every object in a partition's
folder, so a foreign Parquet object doubles rows there, until somebody moves it away.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from stock_pipeline.lake.layout_object import known_layout
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import partition_of
from stock_pipeline.lake.transforms import day_of
from stock_pipeline.schemas import STREAM_PRICES_HISTORY, Table


def own_objects(lake: ObjectStore, table: Table) -> list[ObjectInfo]:
    """The objects of a table, in the order of their keys. Empty and damaged ones are among them."""
    return [info for info, own in _judged(lake, table, "") if own]


def own_partitions(lake: ObjectStore, table: Table, within: str = "") -> list[str]:
    """The partitions of a table that have an object, in order. Only names that begin with `within` are listed."""
    names = (partition_of(table, info.key) for info, own in _judged(lake, table, within) if own)
    return [name for name in names if name]


def foreign_objects(lake: ObjectStore, table: Table, within: str = "") -> list[ObjectInfo]:
    """The objects in a table's folder that are not the table's, in the order of their keys.

    Only names that begin with `within` are listed. What query engines do not read is left out: names that begin with an
    underscore or a dot, and folders.
    """
    return [info for info, own in _judged(lake, table, within) if not own and not _is_unseen(info.key)]


def _judged(lake: ObjectStore, table: Table, within: str) -> Iterator[tuple[ObjectInfo, bool]]:
    """The objects under a table's prefix, and whether each is the table's own."""
    found = [(info, partition_of(table, info.key)) for info in lake.list(f"{table.prefix}{within}")]
    if table.name != STREAM_PRICES_HISTORY.name or not any(name for _, name in found):
        return ((info, name is not None) for info, name in found)
    # After the listing: whoever stored a tick had settled its day before that.
    layout = known_layout(lake, max(_day(name) for _, name in found if name))
    return ((info, name is not None and (layout is None or layout.fits(name))) for info, name in found)


def _day(partition: str) -> date:
    """The day of a partition of history; the first day of the calendar for one that is not in it."""
    try:
        return day_of(partition)
    except ValueError:
        return date.min


def _is_unseen(key: str) -> bool:
    return key.endswith("/") or any(part.startswith(("_", ".")) for part in key.split("/"))
