"""Learns a layout from a line: what is the same in all lines of its form, and what may differ.

A pattern accepts only texts that the slow grammar (trades.py, values.py) reads to the same value: printable ASCII
without escapes, plain numbers, times that exist. Keys, brackets and spaces are fixed parts of it. Three kinds of values
are fixed as well: those that decide the form of a message, those that mean a missing value, and those at a path that
would be preferred for a field.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from stock_pipeline.parse.ticks.cells import (
    CODES,
    TEXT,
    Kind,
    codes,
    kind_of_value,
    unread,
    without_closing,
    without_commas,
)
from stock_pipeline.parse.ticks.layout import HEAD, ITEM, TAIL, Bound, Cell, Layout, Part
from stock_pipeline.parse.ticks.section import Section, Unlearnable
from stock_pipeline.parse.ticks.shapes import EACH, Field, Path, Shape, Text, found_at
from stock_pipeline.parse.ticks.trades import form_of, read_trades
from stock_pipeline.parse.ticks.values import Problem
from stock_pipeline.parse.ticks.vendors import FORMS

ROLES = ("symbol", "price", "size", "time", "id", "sequence", "exchange", "conditions", "tape", "reported")

_TOKEN = re.compile(r'([ \t]*)("[ !#-\[\]-~]*"|-?[0-9][0-9.eE+-]*|true|false|null|[{}\[\],:])')
_END = re.compile(r"[ \t]*\r?\n")
_MARKS = ('"', '",')


def learn(line: bytes) -> Layout | None:
    """The layout of a line (with its newline) that holds only ticks; None when the line is not simple enough."""
    try:
        message = orjson.loads(line)
        text = line.decode("ascii")
    except ValueError:
        return None
    framed = type(message) is list and bool(message) and type(message[0]) is dict
    first = message[0] if framed else message
    if type(first) is not dict and type(first) is not list:
        return None
    shape = form_of(first)
    if shape is None or (framed and shape.lists):
        return None
    ticks = read_trades(first, shape)
    if not ticks or any(isinstance(tick, Problem) for tick in ticks):
        return None
    for marks in _MARKS:
        try:
            return _Learner(text, first, shape, framed, marks).layout()
        except Unlearnable:
            continue
    return None


class _Learner:
    """Walks through a line's text and its decoded message side by side."""

    def __init__(self, text: str, message: Any, shape: Shape, framed: bool, marks: str) -> None:
        self._text, self._at = text, 0
        self._message, self._shape, self._framed, self._marks = message, shape, framed, marks
        self._root: Path = (0,) if framed else ()
        list_path: tuple[Any, ...] | None = () if framed else None
        if shape.lists:
            list_path = tuple(key for path in shape.lists for key in (*path, 0))[:-1]
        if list_path is not None and "," in marks:
            raise Unlearnable  # the commas between items are not marks
        self._list_path = list_path
        self._trade: Path = (*list_path, 0) if list_path is not None else ()
        self._sections = {name: Section(name, marks) for name in (HEAD, ITEM, TAIL)}
        self._section = self._sections[ITEM if list_path is None else HEAD]
        self._seam, self._seams = b"", 0
        self._names: list[tuple[str, Path]] = []
        self._wanted: dict[Path, str] = {}
        self._fixed: set[Path] = set()
        self._templates: dict[Path, Text] = {}
        self._fields()

    def _fields(self) -> None:
        """Find the values that are needed, and the values that are fixed parts of the layout."""
        shape = self._shape
        whole = [self._message] if self._framed else self._message
        fields = [(role, shape.field_of(role)) for role in ROLES]
        fields += [(f"scope{n}", field) for n, field in enumerate(shape.scopes)]
        for role, field in fields:
            for path in self._paths(field):
                value = found_at(whole, path)
                if value is None or value == "":
                    self._fixed.add(path)
                    continue
                self._names.append((role, path))
                self._wanted.setdefault(path, role)
                break
        for asked, texts in FORMS.asked(self._message, shape).items():
            path = (*self._root, *(0 if key == EACH else key for key in asked))
            value = found_at(whole, path)
            fits = [text for text in texts if not text.whole and type(value) is str and text.fits(value)]
            if fits and self._sign_at(asked, fits[0]):
                self._templates[path] = fits[0]
            elif type(value) in (str, bool) or (type(value) is int and any(t.text.isdigit() for t in texts)):
                self._fixed.add(path)
        if shape.only_sign:
            self._fixed.add((*self._trade, *shape.only_sign.path))
        if shape.template:
            self._templates[self._paths(shape.field_of("symbol"))[0]] = shape.template

    def _sign_at(self, path: Path, text: Text) -> bool:
        return any(sign.path == path and text in sign.texts for sign in self._shape.signs)

    def _paths(self, field: Field) -> list[Path]:
        start = self._root if field.in_message or self._list_path is None or self._framed else self._trade
        return [(*start, *path) for path in field.paths]

    def layout(self) -> Layout:
        """Walk through the whole line."""
        self._value(())
        end = _END.fullmatch(self._text, self._at)
        if not end:
            raise Unlearnable
        self._section.text(end[0])
        head, item, tail = (self._sections[name].part() for name in (HEAD, ITEM, TAIL))
        if head.behind is not None or tail.behind is not None or not item.marks:
            raise Unlearnable
        if self._seam and self._text.count(self._seam.decode()) != self._seams:
            raise Unlearnable  # it would be cut within its head, an item or its tail
        cells = tuple(cell for section in self._sections.values() for cell in section.cells())
        starts, ends = self._edges(head, tail, cells)
        names = tuple(self._names)
        return Layout(self._shape, head, item, tail, cells, starts, ends, names, self._marks.encode(), self._seam)

    def _edges(self, head: Part, tail: Part, cells: tuple[Cell, ...]) -> tuple[Bound, Bound]:
        """Where the first item begins and the last one ends, seen from the head and the tail."""
        start, end = Bound(HEAD, None, 0), Bound(TAIL, None, 0)
        if not self._seam:
            return start, end
        since, before = self._sections[HEAD].since, self._sections[TAIL].before
        length = self._sections[TAIL].since
        if since is not None:
            start = Bound(HEAD, head.marks - 1 if head.marks else None, since)
        elif any(_edge(cell.start) == (ITEM, None) or _edge(cell.end) == (HEAD, None) for cell in cells):
            raise Unlearnable
        if before is not None:
            end = Bound(TAIL, -tail.marks, -before)
        elif not tail.marks and length is not None:
            end = Bound(TAIL, None, -length)
        elif any(_edge(cell.end) == (ITEM, None) or _edge(cell.start) == (TAIL, None) for cell in cells):
            raise Unlearnable
        return start, end

    def _next(self) -> tuple[str, str]:
        if not (found := _TOKEN.match(self._text, self._at)):
            raise Unlearnable
        self._at = found.end()
        return found[1], found[2]

    def _peek(self) -> str:
        found = _TOKEN.match(self._text, self._at)
        return found[2] if found else ""

    def _literal(self, expected: str = "") -> str:
        space, word = self._next()
        if expected and word not in expected:
            raise Unlearnable
        self._section.text(space + word)
        return word

    def _value(self, path: Path) -> None:
        begin = self._peek()
        if begin == "[" and path == self._list_path:
            self._items(path)
        elif begin == "[" and self._wanted.get(path) == "conditions":
            self._codes(path)
        elif begin in ("{", "[") and path in self._wanted:
            raise Unlearnable  # an object or a list where the form has a plain value
        elif begin == "{":
            self._members(path)
        elif begin == "[":
            self._elements(path)
        else:
            self._scalar(path)

    def _members(self, path: Path) -> None:
        self._literal("{")
        keys: set[str] = set()
        mark = "," if self._peek() != "}" else self._literal("}")
        while mark == ",":
            key = self._literal()
            if key[:1] != '"' or key in keys:
                raise Unlearnable
            keys.add(key)
            self._literal(":")
            self._value((*path, key[1:-1]))
            mark = self._literal(",}")

    def _elements(self, path: Path) -> None:
        self._literal("[")
        mark, place = "," if self._peek() != "]" else self._literal("]"), 0
        while mark == ",":
            self._value((*path, place))
            place += 1
            mark = self._literal(",]")

    def _items(self, path: Path) -> None:
        """A list of trades. The first one is learned, and the others are assumed to be alike. Then the tail begins."""
        self._literal("[")
        self._section = self._sections[ITEM]
        begin = self._peek()
        if begin not in ("{", "["):
            raise Unlearnable
        space = self._next()[0]
        self._at -= 1
        if space:
            raise Unlearnable
        start = self._at
        self._value((*path, 0))
        item = self._text[start : self._at]
        between = ", " if ", " in item else ","
        while self._peek() == ",":
            at = self._at
            self._next()
            self._skip()
            found = re.compile(r",( ?)[{\[]").match(self._text, at)
            if not found:
                raise Unlearnable
            between = f",{found[1]}"
            self._seams += 1
        self._seam = f"{item[-1]}{between}{item[0]}".encode()
        self._section = self._sections[TAIL]
        self._literal("]")

    def _skip(self) -> None:
        depth = 0
        while True:
            word = self._next()[1]
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(word, 0)
            if depth <= 0:
                return

    def _codes(self, path: Path) -> None:
        """A list of sale conditions, of any length."""
        start = self._at
        self._skip()
        text = self._text[start : self._at].lstrip(" \t")
        if not re.fullmatch(CODES, text[1:-1]):
            raise Unlearnable
        self._section.text(self._text[start : self._at - len(text)] + "[")
        self._section.value(path, Kind(CODES, codes), listed=True)
        self._section.text("]")

    def _scalar(self, path: Path) -> None:
        space, word = self._next()
        if word in "{}[],:":
            raise Unlearnable
        section, inner, quoted = self._section, word.strip('"'), word.startswith('"')
        section.text(space)
        if path in self._fixed and path in self._wanted:  # a time as text where other forms have their sign
            raise Unlearnable
        if word == "null" or path in self._fixed:
            section.text(word)
            return
        template = self._templates.get(path)
        head, tail = (template.head, template.tail) if template else ("", "")
        inner = inner.removeprefix(head).removesuffix(tail)
        role = self._wanted.get(path)
        kind = kind_of_value(role, inner, quoted, self._shape) if role else unread(inner, quoted)
        if template and not role:
            kind = Kind(TEXT)
        if kind is None:
            raise Unlearnable
        if "," in self._marks:
            kind = kind._replace(pattern=without_commas(kind.pattern))
        if self._list_path is not None:
            kind = kind._replace(pattern=without_closing(kind.pattern))
        if not re.fullmatch(kind.pattern, inner.removesuffix(kind.suffix)):
            raise Unlearnable
        quote = '"' if quoted else ""
        section.text(quote + head)
        section.value(path, kind)
        section.text(kind.suffix + tail + quote)


def _edge(bound: Bound) -> tuple[str, int | None]:
    return bound.part, bound.mark
