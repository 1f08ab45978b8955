"""Bad input, and input that only looks bad: small files, and what must become of each (manifest.json).

`daily/` holds files of daily prices, `ticks/` JSON lines; the files are bytes as they would be dropped, so nothing may
change a line break in them (.gitattributes). An entry of the manifest says, by a file's path:

    why        what the file stands for, and what is right
    key        the end of its key in staging, where that is not its own name
    refused    a part of the message with which it is refused whole; then nothing below
    rows, duplicates, updated, conflicts, skipped, rejected    the receipt's counts (inserted is the number stored)
    stored     the rows: [symbol, date, close] and the volume if any, or [symbol, price, size, produced_at]
    lines      [line, reason] of every row in rejected_records

A new case is a file and an entry; the tests say when one of the two is missing.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "manifest.json"


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """What must become of each file, by its path in the corpus."""
    return dict(json.loads(MANIFEST.read_text()))


def files() -> list[str]:
    """The files that there are, by their paths in the corpus."""
    found = (path for kind in ("daily", "ticks") for path in (FOLDER / kind).rglob("*") if path.is_file())
    return sorted(path.relative_to(FOLDER).as_posix() for path in found)


def content(name: str) -> bytes:
    """A file as it would be dropped."""
    return (FOLDER / name).read_bytes()
