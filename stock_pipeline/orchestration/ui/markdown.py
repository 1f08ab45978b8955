"""Text from outside as Markdown that shows it and is obeyed by nothing: keys of objects, reasons, messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

# All that can begin a construct within a line. An underscore between letters, as in most keys, is none.
_MARKS = re.compile(r"[\\`*{}\[\]<>&|~!#\"$^@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LINK = re.compile(r"(?i)(https?:|ftp:|mailto:|xmpp:|www|@)")
_JOINER = "\u2060"  # has no width, and breaks what would be taken for an address


def literal(text: str) -> str:
    """Markdown, and HTML, that shows exactly this text within a line or a cell of a table.

    Hashes become character references, which are text wherever they stand; a backslash in front of the `|` of a table
    need not be what escapes it. Control characters become spaces, and addresses are no links.
    """
    plain = _LINK.sub(rf"\1{_JOINER}", _CONTROL.sub(" ", text))
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", plain)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with numbers in groups of three; whatever else is in a cell is shown as it is."""

    def cell(value: object) -> str:
        return f"{value:,}" if isinstance(value, int) else literal(str(value))

    lines = [header, ["---"] * len(header), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
