"""The keys of raw objects in the staging bucket: every prefix and every pattern, defined once, and what a key tells.

What does not belong here: reading the objects (`reader`), and understanding their content (`parse`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore

RAW_DAILY_PRICES = "daily_prices/"
"""Everything under this prefix of the staging bucket is a raw object of daily prices."""

UPLOADS = f"{RAW_DAILY_PRICES}uploads/"
"""Daily prices that people and vendors put here, in any supported layout."""

RAW_TICKS = "stock_stream/"
"""Everything under this prefix of the staging bucket is a raw object of ticks."""

TICK_UPLOADS = f"{RAW_TICKS}uploads/"
"""Recorded ticks that people put here."""

_SESSION_PREFIX = f"{RAW_DAILY_PRICES}date="
_SESSION = re.compile(rf"{re.escape(_SESSION_PREFIX)}(\d{{4}}-\d\d-\d\d)/")


def session_prefix(session: str) -> str:
    """The prefix of the generated objects of a session (`2024-06-03`), or of all sessions that begin with a text
    (`2024`).
    """
    return f"{_SESSION_PREFIX}{session}"


def session_of(key: str) -> str | None:
    """The session (`2024-06-03`) that the key of a generated object names; None for an upload."""
    found = _SESSION.match(key)
    return found[1] if found else None


def raw_versions(staging: ObjectStore) -> list[ObjectInfo]:
    """Every version that the bucket keeps of every raw object of daily prices, in the order of their arrival.

    A version with the content of an earlier version of its key is left out: it is the same version to the tables.
    """
    found: dict[tuple[str, str], ObjectInfo] = {}
    for info in staging.versions(RAW_DAILY_PRICES):
        found.setdefault((info.key, info.etag), info)
    return sorted(found.values(), key=lambda info: (info.modified, info.key))  # stable: S3 dates by the second


def versions_of_year(versions: Iterable[ObjectInfo], year: int) -> list[ObjectInfo]:
    """Those of some versions that may hold prices of a year, in their order: see `raw_keys_of_year`."""
    return [info for info in versions if _may_hold(info, year)]


def raw_versions_of_year(staging: ObjectStore, year: int) -> list[ObjectInfo]:
    """As `raw_keys_of_year`, with every version that the bucket keeps of an object, also of a deleted one."""
    return versions_of_year(raw_versions(staging), year)


def _may_hold(info: ObjectInfo, year: int) -> bool:
    session = session_of(info.key)
    return bool(info.size) and not info.key.endswith("/") and (session is None or int(session[:4]) == year)


def raw_keys_of_year(staging: ObjectStore, year: int) -> list[str]:
    """The raw objects that may hold prices of a year, in the order of their arrival.

    These are the generated objects of the year's sessions, and every upload, because only an upload's content tells its
    years.
    """
    found = [info for info in staging.list(RAW_DAILY_PRICES) if _may_hold(info, year)]
    return [info.key for info in sorted(found, key=lambda info: (info.modified, info.key))]
