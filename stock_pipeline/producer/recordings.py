"""Recorded ticks: the lines of a file of JSON lines, gzip or plain, in groups to be sent.

Only one group is in memory at a time, whatever the size of the file.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from stock_pipeline.errors import FileRefused

_GZIP = b"\x1f\x8b"


def recorded_lines(path: Path, limit: int) -> Iterator[bytes]:
    """The lines of a file, unchanged, each with its newline if it has one.

    A line of more than `limit` bytes is cut after `limit` + 1, so that a file without newlines needs no more memory
    than that. Raises FileRefused when the file cannot be read or is damaged, as soon as this is found.
    """
    try:
        with path.open("rb") as file:
            packed = file.peek(2).startswith(_GZIP)
            lines = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
            while line := lines.readline(limit + 1):
                yield line
                while len(line) > limit and not line.endswith(b"\n"):
                    line = lines.readline(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileRefused(f"{path} is a damaged gzip file ({error}); what came before the damage was taken") from error
    except OSError as error:
        raise FileRefused(f"cannot read {path} ({error.strerror or error})") from error


def in_chunks(lines: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lines, each ended by a newline, in groups of about `size` bytes."""
    chunk: list[bytes] = []
    gathered = 0
    for line in lines:
        chunk.append(_ended(line))
        gathered += len(line)
        if gathered >= size:
            yield chunk
            chunk, gathered = [], 0
    if chunk:
        yield chunk


def at_rate(lines: Iterator[bytes], rate: float) -> Iterator[list[bytes]]:
    """Lines, each ended by a newline, in groups of `rate` on average. With a rate below 1 some groups are empty."""
    taken, ahead = 0, next(lines, None)
    for turn in count(1):
        chunk: list[bytes] = []
        while ahead is not None and taken < int(rate * turn):
            chunk.append(_ended(ahead))
            taken, ahead = taken + 1, next(lines, None)
        yield chunk
        if ahead is None:
            return


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"
