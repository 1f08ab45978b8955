"""A text → its records, as columns of text. pyarrow's CSV parser reads blocks of whole records, and every record is
accounted for.

Nothing is converted here, so nothing can be lost: `NA` stays `NA`. pyarrow tokenizes, but it gets only texts on which
it agrees with RFC 4180 (see `csv_dialect`), and one block at a time. So errors, rejected lines and line numbers are
local to a block, and the text of a million rows is not in memory together with their numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from stock_pipeline.arrow import Bools, Ints, as_numpy, booleans
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.csv_dialect import FORMULA, Quoting, blocks, line_starts, record_ends
from stock_pipeline.parse.daily.lines import Lines
from stock_pipeline.parse.files import Bytes

Result = TypeVar("Result")

MAX_RAGGED = 1_000_000
"""A file with more rows than this whose number of cells is not the header's is refused: it is not this table."""

REPEATING = pa.dictionary(pa.int32(), pa.string())
"""The type for columns whose texts repeat, so that each distinct text is read once."""

_WORKERS = min(4, os.cpu_count() or 1)
_BLANK, _BAD_QUOTING = -1, 0
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RaggedRows:
    """Records that are not rows: how many cells each has instead of the header's number, 0 if the quoting is bad.

    `width` is how many cells the header of each has.
    """

    records: Ints
    cells: Ints
    width: Ints

    def without(self, records: Ints) -> RaggedRows:
        """Without these records."""
        others = ~np.isin(self.records, records)
        return RaggedRows(self.records[others], self.cells[others], self.width[others])


@dataclass(frozen=True)
class Wide:
    """Rows of one cell more than the header has: their records, and all their columns as texts."""

    records: Ints
    columns: list[pa.StringArray]

    def without(self, records: Ints) -> Wide | None:
        """Without these records; None when no row is left."""
        keep = ~np.isin(self.records, records)
        if not keep.any():
            return None
        return Wide(self.records[keep], [column.filter(booleans(keep)) for column in self.columns])


@dataclass(frozen=True)
class Block:
    """A block of records. `count` includes blank lines and ragged records; the others are `rows`.

    Records are counted from 0, the block's first. `columns` maps positions in the header to texts. `ragged` include
    the records of `wide`.
    """

    count: int
    rows: Ints
    columns: dict[int, pa.Array]
    ragged: RaggedRows
    wide: Wide | None = None


@dataclass(frozen=True)
class Source:
    """A text to parse: with its quoting and separator, and how many cells a row has (at least 2).

    `text` is that of `lines`, but for `formulas` if it has any (see `csv_dialect.without_formulas`); it is parsed from
    `start` to `stop`, which is its end when None.
    """

    text: Bytes
    lines: Lines
    quoting: Quoting
    separator: str
    width: int
    start: int
    stop: int | None = None
    formulas: bool = False


def parse_blocks(source: Source, types: dict[int, pa.DataType], convert: Callable[[Block], Result]) -> list[Result]:
    """Parse a text's columns at the positions in `types` (string or `REPEATING`) and convert each block, in threads.

    Raises FileRefused for a record longer than a block, and after `MAX_RAGGED` rows of another width.
    """
    budget = _Budget(source.width, MAX_RAGGED)
    buffer = pa.py_buffer(source.text)

    def parse(bounds: tuple[int, int]) -> Result:
        return convert(_parse_block(source, buffer, bounds, types, budget))

    pieces = list(blocks(source.text, source.start, source.quoting.multiline, source.stop))
    if len(pieces) < 2:
        return [parse(piece) for piece in pieces]
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(parse, pieces))


@dataclass
class _Budget:
    """Counts the rows of another width over all blocks."""

    width: int
    left: int

    def collector(self, found: list[tuple[int, int]]) -> Callable[[pa.csv.InvalidRow], str]:
        """A row handler that notes record and cells of the rows that do not fit."""

        def collect(row: pa.csv.InvalidRow) -> str:
            if row.actual_columns != self.width + 1:  # one more cell may be an undeclared column: see `undeclared`
                self.left -= 1
            is_blank = row.actual_columns == 1 and not row.text.strip()  # spaces alone
            found.append((row.number - 1, _BLANK if is_blank else row.actual_columns))
            return "skip" if self.left >= 0 else "error"

        return collect

    def refusal(self, error: pa.ArrowInvalid) -> FileRefused:
        if self.left < 0:
            return FileRefused(f"more than {MAX_RAGGED:,} rows do not have the {self.width} columns of the header")
        return FileRefused(f"not readable as CSV ({quoted(str(error))})")


def _parse_block(
    source: Source, buffer: pa.Buffer, bounds: tuple[int, int], types: dict[int, pa.DataType], budget: _Budget
) -> Block:
    begin, end = bounds
    block = buffer.slice(begin, end - begin)
    starts, malformed = _malformed_lines(source, begin, end)
    if malformed.any():
        block = pa.py_buffer(_without(source.text[begin:end], starts, malformed))
    ragged: list[tuple[int, int]] = []
    table = _read_csv(block, source, source.width, types, budget, budget.collector(ragged))
    count = table.num_rows + len(ragged)
    columns = {at: _column(table, at, source) for at in types}
    records, cells = np.array(ragged, np.int64).reshape(-1, 2).T
    rows = np.delete(np.arange(count), records) if ragged else np.arange(count)
    if malformed.any():
        cells = np.where(malformed[records], _BAD_QUOTING, cells)
    blank = _blank_lines(columns, rows, source, begin, end)
    if blank.any():
        rows, columns = rows[~blank], {at: c.filter(booleans(~blank)) for at, c in columns.items()}
    filled = cells != _BLANK
    found = RaggedRows(records[filled], cells[filled], np.full(int(filled.sum()), source.width))
    wide = records[cells == source.width + 1]
    return Block(count, rows, columns, found, _wide(source, begin, end, wide, budget) if len(wide) else None)


def _read_csv(
    block: pa.Buffer,
    source: Source,
    width: int,
    types: dict[int, pa.DataType],
    budget: _Budget,
    handler: Callable[[pa.csv.InvalidRow], str] | None = None,
) -> pa.Table:
    if block[: len(_BOM)].to_pybytes() == _BOM:  # in the middle of a file it is text, but pyarrow would drop it
        block = pa.py_buffer(_BOM + block.to_pybytes())
    try:
        return pa.csv.read_csv(
            block,
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=len(block) + 1,
                column_names=[str(i) for i in range(width)],
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=source.separator,
                ignore_empty_lines=False,  # so that every record counts
                newlines_in_values=source.quoting.multiline,
                invalid_row_handler=handler,
            ),
            convert_options=pa.csv.ConvertOptions(
                check_utf8=False,  # the whole text is checked already
                column_types={str(at): type_ for at, type_ in types.items()},
                include_columns=[str(at) for at in types],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise budget.refusal(error) from error


def _wide(source: Source, begin: int, end: int, records: Ints, budget: _Budget) -> Wide | None:
    """The rows of a block with one cell more than the header, parsed separately.

    A row of several lines does not count: the cell with the line breaks may have swallowed rows.
    """
    data = np.frombuffer(source.text, np.uint8)[begin:end]
    bounds = np.concatenate([[0], record_ends(data, source.quoting.multiline), [len(data)]])
    pieces = zip(bounds[records].tolist(), bounds[records + 1].tolist(), strict=True)
    texts = [bytes(data[a:b]).rstrip(b"\r\n") for a, b in pieces]
    records = records[np.array([b"\n" not in text for text in texts], bool)]
    text = b"".join(text + b"\n" for text in texts if b"\n" not in text)
    if not text:
        return None
    width = source.width + 1
    table = _read_csv(pa.py_buffer(text), source, width, dict.fromkeys(range(width), pa.string()), budget)
    return Wide(records, [_column(table, at, source) for at in range(width)])


def _column(table: pa.Table, at: int, source: Source) -> pa.Array:
    """A column as one array. A column that is one array already is not copied."""
    column = table.column(str(at))
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if not source.formulas:
        return whole
    texts = whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole
    texts = pc.replace_substring(texts, pattern=FORMULA.decode(), replacement="")
    return texts.dictionary_encode() if pa.types.is_dictionary(whole.type) else texts


def _malformed_lines(source: Source, begin: int, end: int) -> tuple[Ints, Bools]:
    """Where the lines of a block begin and which of them are malformed; nothing when the file is well quoted."""
    ranges = source.quoting.malformed
    if ranges is None:
        return np.zeros(0, np.int64), np.zeros(0, bool)
    starts = line_starts(np.frombuffer(source.text, np.uint8)[begin:end])
    within = np.searchsorted(ranges[:, 0], starts + begin, side="right") - 1
    reach = np.maximum.accumulate(ranges[:, 1])  # ranges may overlap
    return starts, (within >= 0) & (starts + begin < reach[within])


def _without(block: bytes | bytearray, starts: Ints, malformed: Bools) -> bytes:
    """The block with one cell instead of each malformed line, so that the line counts but does not fit the header."""
    ends = np.append(starts[1:] - 1, len(block))
    kept, at = [], 0
    for start, end in zip(starts[malformed].tolist(), ends[malformed].tolist(), strict=True):
        kept += [block[at:start], b"?"]
        at = end
    return b"".join([*kept, block[at:]])


def _blank_lines(columns: dict[int, pa.Array], rows: Ints, source: Source, begin: int, end: int) -> Bools:
    """Which rows are blank lines: pyarrow makes an empty cell of each column, as of a line of separators."""
    empty = np.ones(len(rows), bool)
    for column in columns.values():
        if not pa.types.is_dictionary(column.type):
            continue
        texts = column.dictionary.to_pylist()
        if "" not in texts:
            return np.zeros(len(rows), bool)
        empty &= as_numpy(column.indices, np.int32) == texts.index("")
    data = np.frombuffer(source.text, np.uint8)[begin:end]
    ends = record_ends(data, source.quoting.multiline)
    starts = np.concatenate([[0], ends])[rows]
    return empty & np.isin(data[starts], [ord("\n"), ord("\r")])
