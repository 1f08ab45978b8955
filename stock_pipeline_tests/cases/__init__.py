"""Cases: a small input file, and beside it a JSON file of the same name that says what must come of it.

`daily/` holds files of daily prices, `ticks/` objects of ticks. The inputs are bytes as they would be dropped: nothing
may change a line break in them (.gitattributes). The case NAME.json is of the file NAME with any one ending. It says:

    case      what this is, in one line
    now       the present, where a rule of times needs it; else it is that of the clock
    symbol, hints                as the options of `ingest`, for all files of the case (daily)
    key       the staging key, where the file's name or folder matters (daily)
    then      files that are ingested after it into the same lake (daily)
    objects   all objects in their order, where they are not the file of the same name alone (ticks)
    expect    alternatives, one of which must hold whole

An alternative may say the following; what it does not name is free, in a row too.

    refused   a regular expression (without case) that the message of a refused file matches; if absent, none is refused
    stored    rows of price_by_date (daily);   history   rows of stream_prices_history, a multiset (ticks)
    only      whether there are no other rows than these: true unless it says false
    latest    all rows of latest_prices (ticks)
    absent    rows that are not there
    rejected, nulled             counts by reason, over all receipts; the reason conflict is the receipts' conflicts
    skipped   the count, over all receipts
    unread    columns that the receipts name as unread, at least

Numbers are equal to 1e-9, relative. `python -m stock_pipeline_tests.cases DIR` runs the cases of a folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent
"""The project's own cases."""

Kind = Literal["daily", "ticks"]
KINDS: tuple[Kind, ...] = ("daily", "ticks")


@dataclass(frozen=True)
class Case:
    """One case: its files in the order in which they are ingested, and what its JSON file says."""

    kind: Kind
    name: str
    files: tuple[Path, ...]
    said: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def cases(folder: Path = FOLDER) -> list[Case]:
    """The cases in the subfolders daily and ticks of a folder, or in a folder that is called so itself.

    Raises ValueError for a case that is not JSON, names a file that is not there, or expects nothing.
    """
    folder = folder.resolve()
    places = [(kind, folder if folder.name == kind else folder / kind) for kind in KINDS]
    return [_case(kind, path) for kind, place in places for path in sorted(place.glob("*.json"))]


def _case(kind: Kind, path: Path) -> Case:
    try:
        said: dict[str, Any] = json.loads(path.read_text("utf-8"))
        first = [path.parent / name for name in said.get("objects", [])] or [_input_of(path)]
        files = (*first, *(path.parent / name for name in said.get("then", [])))
        if missing := [file.name for file in files if not file.is_file()]:
            raise ValueError(f"there is no file {missing[0]}")
        if not said["expect"]:
            raise ValueError("it expects nothing")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a case: {error}") from error
    return Case(kind, path.stem, files, said)


def _input_of(path: Path) -> Path:
    found = [file for file in path.parent.glob(f"{path.stem}.*") if file != path and file.stem == path.stem]
    if len(found) != 1:
        raise ValueError(f"of {path.stem} there are {len(found)} input files, not one")
    return found[0]
