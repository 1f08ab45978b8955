"""Escapes text from outside (keys of objects, reasons, messages), so that Markdown shows it exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence

# All that can begin a Markdown construct within a line. An underscore between letters, as in most keys, does not.
_MARKS = re.compile(r"[\\`*{}\[\]<>&|~!#\"$^@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LINK = re.compile(r"(?i)(https?:|ftp:|mailto:|xmpp:|www|@)")
_JOINER = "\u2060"  # has no width; it breaks up text that would become a link


def literal(text: str) -> str:
    """Markdown and HTML that show exactly this text within a line or a cell of a table.

    Special characters become character references (`|` becomes `&#124;`), which are text at every place; a backslash
    does not always escape the `|` of a table. Control characters become spaces, and addresses do not become links.
    """
    plain = _LINK.sub(rf"\1{_JOINER}", _CONTROL.sub(" ", text))
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", plain)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table. Numbers have thousands separators; other cells show exactly their text."""

    def cell(value: object) -> str:
        return f"{value:,}" if isinstance(value, int) else literal(str(value))

    lines = [header, ["---"] * len(header), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
