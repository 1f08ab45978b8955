"""The fast grammar takes nothing that the slow one reads otherwise, of any form, and it takes what producers write."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stock_pipeline.parse.ticks import columnar
from stock_pipeline.parse.ticks.columnar import Layouts, read_lines
from stock_pipeline.parse.ticks.columns import NAMES, Columns
from stock_pipeline.parse.ticks.layout import Layout
from stock_pipeline.parse.ticks.learning import learn
from stock_pipeline.parse.ticks.parser import TickRows, parse_tick_objects
from stock_pipeline.parse.ticks.rowwise import LineReader
from stock_pipeline.parse.ticks.vendors import FORMS
from stock_pipeline_tests.support.vendor_messages import MESSAGES, VALUES, holds_several, message

NUMBERS = st.one_of(
    st.sampled_from(
        """0 -0 0.0 00 01 1. .5 +1 -1 1e3 1E3 1e+3 1e-3 5e-05 1e400 -1e400 0e0 NaN Infinity -Infinity null true false
        0.1 189.5 100 999999999999999 9999999999999999 9007199254740993 18446744073709551616 0.1000000000000000055
        1,5 1_0
        123456789012345.123456789012345 0.000000000000001 0.0000000000000001 1704205800 1704205800250 17042058002500000
        1704205800.25 1704205800.123456 1704205800.1234567 1704205800250.5 1704205800250000.5 9223372036854775807
        1704205800250000999 9999999999 10000000000000000000 99999999999 100000000000 99999999999999999 007""".split()
    ),
    st.floats().map(repr),
    st.floats(0, 1e6).map(lambda x: f"{x:.2f}"),
    st.floats(1e9, 4e9).map(repr),
    st.integers().map(str),
    st.from_regex(
        r"-?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{0,3})?", fullmatch=True, alphabet=st.characters(codec="ascii")
    ),
)
TIMES = st.one_of(
    st.sampled_from(
        [
            "2024-01-02 14:30:00", "2024-02-29T23:59:59.999999", "2024-02-29 00:00:00.9999999", "2000-02-29 00:00:00.1",
            "2100-02-29 00:00:00", "2023-02-29 00:00:00", "2024-02-30 00:00:00", "2024-04-31 00:00:00",
            "2024-00-10 00:00:00", "2024-12-00 00:00:00", "1989-12-31 23:59:59", "1990-01-01 00:00:00",
            "2199-12-31 23:59:59.999999999", "2200-01-01 00:00:00", "9999-12-31 23:59:59", "0000-01-01 00:00:00",
            "2024-01-02 24:00:00", "2024-01-02 23:60:00", "2024-01-02 23:59:60", "2024-01-02  3:04:05",
            "2024-01-02 03:04", "2024-01-02", "2024-01-02 03:04:05.", "2024-01-02 03:04:05.1234567890",
            "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.123Z", "2024-01-02T03:04:05+00:00",
            "2024-01-02T03:04:05.5+05:30", "2024-01-02T03:04:05-0000", "2024-01-02t03:04:05z", "20240102-03:04:05.5",
            "2024-01-02T03:04:05,5Z", "2024-01-02T03:04:05+00", "2024-01-02 03:04:05 UTC", "٢٠٢٤-01-02 03:04:05",
        ]
    ),
    st.builds(
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.integers(1985, 2205), st.integers(0, 13), st.integers(0, 32), st.sampled_from(" T"), st.integers(0, 25),
        st.integers(0, 61), st.integers(0, 61), st.from_regex(r"(\.[0-9]{1,10})?", fullmatch=True),
        st.sampled_from(["", "", "Z", "+00:00", "-05:00"]),
    ),
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        ["AAPL", "BRK.B", "NA", "0700", "aapl", "A B", " AAPL", "", " ", "é", "x" * 300, "trade", "quote", "t"]
    ),
    st.sampled_from(
        ["a\\u0041", '\\"', "\\", "a\x7f", "a\x1f", "0", "00", "0-0", "00-1", "1-0", "-", "a,b", "12345", "},{"]
    ),
    st.text(max_size=6),
    st.from_regex(r"[!-~]{1,12}", fullmatch=True),
)
OTHER_TYPES = ["null", "true", "{}", '{"a":1}', '{"a":{"b":"c"}}', "[]", "[1]", '["a"]', "[[1],2]", "[{}]", '"x"', "7"]
ANYTHING = st.sampled_from(["null", "true", "{}", "[]", '[1,"a"]', '""', "1", "x", ""])
LISTS = [
    '["@"]', '["@","T","I"]', '["@", "T"]', "[14]", "[]", "[1,22,3]", "null", '"X"', "7", '[" "]', '["a,b"]', "[[1]]",
    '["\\u0041"]', '["é"]', "[1.5]", "[null]", '["@",1]', '["@"', '["}]"]', "[01]", "[00]", "[0]", "[1,02]",
]  # fmt: skip
CODES = st.sampled_from(LISTS)
_TIME_NAMES = frozenset(name for name in VALUES if name.startswith("iso"))
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\[\]{}«»]*\]|[0-9.eE+-]+|true|false|null')


@st.composite
def lines_of(draw: st.DrawFn, form: str) -> tuple[str, list[str]]:
    """A plain line of a form, and lines written like it in which some values are others."""
    trades = draw(st.integers(1, 3)) if holds_several(form) else 1
    spaced = draw(st.booleans())
    start = draw(st.integers(0, 10_000))
    framed = not holds_several(form) and MESSAGES[form].startswith("{") and draw(st.integers(0, 3)) == 0

    def written(text: str) -> str:
        return text.replace('":', '": ').replace(',"', ', "').replace(",{", ", {") if spaced else text

    def other(name: str, n: int) -> str:
        if draw(st.integers(0, 4)):
            return VALUES[name](n)
        if name in _TIME_NAMES:
            return draw(TIMES)
        return draw(NUMBERS | TEXTS) if draw(st.booleans()) else VALUES[name](draw(st.integers(0, 10**6)))

    def text(value: Any) -> str:
        if framed:
            return "[" + ",".join(message(form, start + n, value=value) for n in range(3)) + "]"
        return message(form, start, trades, value)

    plain = written(text(None))
    odd = []
    for _ in range(draw(st.integers(1, 4))):
        line = written(text(other))
        for _ in range(draw(st.integers(0, 2))):  # any value, a constant one too, gives way to another
            found = list(_PART.finditer(line))
            part = draw(st.sampled_from(found))
            new = draw(NUMBERS | TEXTS.map('"{}"'.format) | TIMES.map('"{}"'.format) | ANYTHING | CODES)
            line = line[: part.start()] + new + line[part.end() :]
        odd.append(line)
    if draw(st.booleans()):
        odd.append(plain[:-1])
    return plain, odd


def encoded(line: str) -> bytes:
    return line.replace("\n", " ").encode("utf-8", "replace") + b"\n"


Row = tuple[int, dict[str, Any]]


def rows_of(places: list[int], ticks: Columns) -> list[Row]:
    return list(zip(places, pa.table(list(ticks.arrays), NAMES).to_pylist(), strict=True))


def by_layout(layout: Layout, line: bytes) -> list[Row] | None:
    """The ticks of a line by a layout with their places, None when the line is not written so."""
    lines = pa.array([line], pa.binary())
    so = layout.matches(lines)
    if not so[0]:
        return None
    read = read_lines(layout, lines, np.arange(1), so)
    return rows_of([0] * len(read.lines) if read.places is None else read.places.tolist(), read.ticks)


def one_by_one(line: bytes) -> list[Row] | None:
    """The ticks of a line, None when it holds something else, too."""
    reader = LineReader()
    reader.add([(0, line)])
    if reader.rejected or reader.skipped or reader.corrections:
        return None
    return [row for _, places, ticks in reader.read for row in rows_of(places.tolist(), ticks)]


@pytest.mark.parametrize("form", sorted(MESSAGES))
def test_a_list_of_codes_that_is_no_json_is_left_to_the_slow_grammar(form: str) -> None:
    plain = message(form, 1, 1)
    layout = learn(encoded(plain))
    places = [found.span() for found in re.finditer(r"\[[^\[\]{}]*\]", plain)]
    for (start, end), new in itertools.product(places if layout else [], LISTS):
        assert layout is not None
        line = encoded(plain[:start] + new + plain[end:])
        assert by_layout(layout, line) in (None, one_by_one(line))


@pytest.mark.parametrize("form", sorted(MESSAGES))
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_what_a_layout_takes_has_the_values_of_the_slow_grammar(form: str, data: st.DataObject) -> None:
    plain, odd = data.draw(lines_of(form))
    layout = learn(encoded(plain))
    if layout is None:
        assert form.startswith("Tiingo")  # arrays of several
        return
    assert by_layout(layout, encoded(plain)) == one_by_one(encoded(plain)) != None  # noqa: E711
    for line in map(encoded, odd):
        fast = by_layout(layout, line)
        assert fast is None or fast == one_by_one(line)


@pytest.mark.parametrize("form", sorted(MESSAGES))
def test_a_layout_of_lines_with_an_odd_value_reads_them_as_the_slow_grammar(form: str) -> None:
    """A value of another JSON type is a way of writing as well: a whole object may be written so."""
    plain = message(form, 1)
    for part in _PART.finditer(plain):
        for other in () if plain.startswith(":", part.end()) else OTHER_TYPES:
            line = encoded(plain[: part.start()] + other + plain[part.end() :])
            layout = learn(line)
            assert layout is None or by_layout(layout, line) == one_by_one(line), line


@pytest.mark.parametrize("form", sorted(MESSAGES))
def test_a_text_that_looks_like_the_seam_between_trades_is_no_seam(form: str) -> None:
    plain = message(form, 1, trades=2 if holds_several(form) else 1)
    layout = learn(encoded(plain))
    for part in _PART.finditer(plain):
        for text in () if layout is None or plain.startswith(":", part.end()) else ("},{", "],[", "a}, {b", "a], [b"):
            line = encoded(f'{plain[: part.start()]}"{text}"{plain[part.end() :]}')
            assert by_layout(layout, line) in (None, one_by_one(line)), line


def test_every_form_has_a_template() -> None:
    assert {shape.name for shape in FORMS.shapes} - set(MESSAGES) == {"Bitfinex", "this project, without a time"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(MESSAGES)).flatmap(lines_of), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_an_object_reads_the_same_with_and_without_layouts(written: list[tuple[str, list[str]]], random: Any) -> None:
    lines = [encoded(text) for plain, odd in written for text in [plain] * 3 + odd]
    random.shuffle(lines)
    objects = [(b"".join(lines[:3]), "a"), (b"".join(lines[3:]), "b")]
    assert content(objects, worth=1) == content(objects, worth=10**9)


def content(objects: list[tuple[bytes, str]], worth: int) -> Any:
    """Everything that was read from objects, in the order of their lines, if layouts are used from so many lines on."""
    with patch.object(columnar, "WORTH", worth), patch.object(columnar, "_SHARE", 1):
        read: TickRows = parse_tick_objects(objects)
    order = np.lexsort((read.table["place"].to_numpy(), read.lines, read.objects))
    table = read.table.take(order).to_pydict()
    origins = (read.objects[order].tolist(), read.lines[order].tolist())
    return (
        table,
        origins,
        read.corrections.to_pydict(),
        read.rejected.to_pydict(),
        read.rejected_objects.tolist(),
        read.skipped.tolist(),
        read.refused,
    )


def exact(price: str, size: str = "1", time: str = '"2024-01-02 14:30:00"') -> bytes:
    return f'{{"event_id":"e","symbol":"A","price":{price},"size":{size},"produced_at":{time}}}\n'.encode()


@pytest.mark.parametrize("price", ["0", "0.5", "1", "189.5", "100.10", "123456789012345.125"])
@pytest.mark.parametrize("time", ["2024-01-02 14:30:00", "2024-02-29T00:00:00.1", "2199-12-31 23:59:59.999999"])
def test_what_producers_write_is_taken_by_their_layout(price: str, time: str) -> None:
    layout = learn(exact("1"))
    assert layout is not None
    line = exact(price, time=f'"{time}"')
    assert by_layout(layout, line) == one_by_one(line)
    assert one_by_one(line)


@pytest.mark.parametrize(
    "line",
    [
        exact("-1"), exact("1e3"), exact("01"), exact("1."), exact("null"), exact("true"), exact('"1"'), exact("NaN"),
        exact("1", "-1"), exact("1", "null"), exact("1", "1.5e1"), exact("1", '""'),
        exact("1", time='"2023-02-29 00:00:00"'), exact("1", time='"2100-02-29 00:00:00"'),
        exact("1", time='"2024-01-02 24:00:00"'), exact("1", time='"2024-01-02 14:30:00Z"'), exact("1", time="1"),
        exact("1")[:-1] + b" \n", exact("1")[:-1] + exact("1"), exact("1")[:-2] + b"\n", b" " + exact("1"),
        exact("1").replace(b'"A"', '"é"'.encode()), exact("1").replace(b'"A"', b'"\\u0041"'),
        exact("1").replace(b'"A"', b'"\xff"'), exact("1").replace(b'"A"', b'"A\x00"'),
        exact("1").replace(b'"A"', b'""'), exact("1").replace(b'"price"', b'"size"'), b"\n",
    ],
)  # fmt: skip
def test_what_is_written_in_another_way_is_left_to_the_slow_grammar(line: bytes) -> None:
    layout = learn(exact("1"))
    assert layout is not None
    assert by_layout(layout, line) is None


@pytest.mark.parametrize("bound", [10**10, 10**11, 10**12, 10**14, 10**15, 10**17, 10**18])
def test_epochs_at_the_bounds_of_their_units_are_the_same_to_both(bound: int) -> None:
    layout = learn(exact("1", time="1704205800250"))
    assert layout is not None
    for epoch in (bound - 1, bound, bound + 1, 3 * bound // 2):
        line = exact("1", time=str(epoch))
        assert by_layout(layout, line) in (None, one_by_one(line))
    assert by_layout(layout, line) is not None


def test_lines_may_be_a_slice_of_others() -> None:
    lines = pa.array([exact("1"), exact("2.5"), exact("30"), exact("4")], pa.binary()).slice(1, 2)
    layout = learn(exact("1"))
    assert layout is not None
    assert layout.matches(lines).tolist() == [True, True]
    assert read_lines(layout, lines, np.arange(2), np.ones(2, bool)).ticks.price.to_pylist() == [2.5, 30.0]


@pytest.mark.parametrize("line", [exact("1", '5,"size":null'), b"\r" + exact("1"), exact("1")[:-1] + b"\t\r\r\n"])
def test_no_layout_is_learned_from_a_repeated_key_or_odd_spaces(line: bytes) -> None:
    assert one_by_one(line)
    assert learn(line) is None


@example(b'{"event_id":"e"')
@given(st.binary(max_size=80))
def test_no_bytes_break_learning(data: bytes) -> None:
    assert learn(data + b"\n") is None


def test_several_ways_of_writing_in_one_block_are_all_learned() -> None:
    ticks = [{"symbol": "A", "price": n + 1, "produced_at": "2024-01-02 14:30:00", "size": n} for n in range(3000)]
    for n, tick in enumerate(ticks):
        if n % 3 == 1:
            tick["size"] = None
        if n % 3 == 2:
            ticks[n] = dict(reversed(tick.items()))
    lines = pa.array([json.dumps(tick).encode() + b"\n" for tick in ticks], pa.binary())
    read, left = Layouts().read(lines)
    assert len(left) == 0
    prices = {n: p for part in read for n, p in zip(part.lines.tolist(), part.ticks.price.to_pylist(), strict=True)}
    assert prices == {n: n + 1 for n in range(3000)}


def test_lines_that_are_all_written_in_their_own_way_are_left() -> None:
    lines = pa.array(
        [f'{{"symbol":"A","k{n}":1,"price":1,"produced_at":1}}\n'.encode() for n in range(2000)], pa.binary()
    )
    read, left = Layouts().read(lines)
    assert (read, left.tolist()) == ([], list(range(2000)))
