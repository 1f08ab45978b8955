"""Where one tick's record ends and the next begins, in objects that are not simply one record a line.

Also the way back: the unchanged text of a line, for the rejected record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from stock_pipeline.arrow import Ints
from stock_pipeline.parse.files import Bytes
from stock_pipeline.settings import MIB

MAX_RECORD = MIB
"""Longest record in bytes; a line may be longer when it joins several."""

MAX_DOCUMENT = 16 * MIB
"""Longest JSON value over several lines. It is decoded at once, which takes many times its size in memory."""

MAX_RAW = 8192
"""How many characters of a rejected record are kept."""

_SEAM = re.compile(rb"\}\s*\{")
_DECODER = json.JSONDecoder()
_SEARCHES = 100  # for this many broken messages of a line, the end is searched for beyond the next seam


def split_records(line: bytes) -> Iterator[bytes]:
    """The records of a line, cut where an object ends and the next begins.

    `}{` is such a seam unless it is inside a text. A piece that is valid JSON is certainly the next record, because no
    JSON object is the beginning of another. For any other piece the decoder finds the end, if there is one.
    """
    start = end = searches = 0
    for seam in _SEAM.finditer(line):
        cut = seam.start() + 1
        if cut < end:  # inside a text
            continue
        if cut > end and searches < _SEARCHES and not _is_json(line[start:cut]):
            searches += 1
            end = _end_of_record(line, start)
            if end > cut:
                continue
        yield line[start:cut]
        start = seam.end() - 1
    yield line[start:]


def _is_json(piece: bytes) -> bool:
    try:
        orjson.loads(piece)
    except orjson.JSONDecodeError:
        return False
    return True


def _end_of_record(line: bytes, start: int) -> int:
    """Where the JSON value that begins here ends; 0 when it is broken or longer than a record may be."""
    for size in (4096, MAX_RECORD):
        text = line[start : start + size].decode("utf-8", "surrogateescape")
        try:
            _, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            continue
        return start + len(text[:end].encode("utf-8", "surrogateescape"))
    return 0


def one_record_a_line(text: Bytes) -> Bytes:
    """A JSON array, or objects spread over lines, written as one object a line. Anything else stays as it is, without
    its mark.
    """
    if text[:3] == b"\xef\xbb\xbf":  # (removeprefix would copy a bytearray, mark or no mark)
        text = text[3:]
    if not like_a_document(text) or len(text) > MAX_DOCUMENT:
        return text
    try:
        values = [text] if text.lstrip()[:1] == b"[" else split_records(bytes(text.strip()))
        decoded = [orjson.loads(value) for value in values]
    except orjson.JSONDecodeError:
        return text
    records = (record for value in decoded for record in (value if isinstance(value, list) else (value,)))
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def like_a_document(text: Bytes) -> bool:
    """Whether the first line is only the beginning of a JSON value, or the only line is an array that is too long for a
    record.
    """
    begin = text[:4096].lstrip()
    first = begin.split(b"\n", 1)[0].strip()
    return first in (b"{", b"[", b"[{") or (begin[:1] == b"[" and len(text) > MAX_RECORD and b"\n" not in text.strip())


def shown(text: bytes) -> str:
    """A record as text, without its newline: invalid UTF-8 replaced, cut after `MAX_RAW` characters."""
    decoded = bytes(text[: 4 * MAX_RAW]).decode("utf-8", "replace").strip()
    whole = len(decoded) <= MAX_RAW and len(text) <= 4 * MAX_RAW
    return decoded if whole else f"{decoded[:MAX_RAW]}… ({len(text)} bytes)"


def text_of_lines(text: Bytes, lines: Sequence[int]) -> list[str]:
    """The text of lines, numbered from 1, as `shown` gives it."""
    wanted = np.array(lines, np.int64)
    numbers = np.unique(np.concatenate([wanted - 2, wanted - 1]))
    places = _newlines(text, numbers)
    starts, ends = (places[np.searchsorted(numbers, wanted - back)].tolist() for back in (2, 1))
    return [shown(bytes(text[start + 1 : end])) for start, end in zip(starts, ends, strict=True)]


def _newlines(text: Bytes, numbers: Ints) -> Ints:
    """The offsets of the newlines with these numbers (ascending, from 0). Number -1 is before the text; a missing
    newline is at its end.
    """
    data = np.frombuffer(text, np.uint8)
    places = np.where(numbers < 0, -1, len(data))
    seen = 0
    # In steps: the comparison takes as much memory as the text, all offsets of newlines up to eight times as much.
    for at in range(0, len(data), MIB):
        found = np.flatnonzero(data[at : at + MIB] == ord("\n"))
        first, last = np.searchsorted(numbers, [seen, seen + len(found)])
        places[first:last] = found[numbers[first:last] - seen] + at
        seen += len(found)
    return places
