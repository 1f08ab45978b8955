"""A raw object's bytes → its text as UTF-8 bytes: compression, archives, encodings, and the cap on their size.

Nothing here knows what the text means. The first bytes of a file tell its format, never its name.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stock_pipeline.errors import FileRefused, FileTooLarge, quoted
from stock_pipeline.settings import MIB, Settings

Bytes = bytes | bytearray

MAX_BYTES = Settings.max_object_mb * MIB
"""The largest accepted text when the caller sets no limit: the default of the setting."""

_STEP = 64 * 1024
# Prices compress 3 to 30 times. A file with this much text, and this many times its own size, was made to do harm.
_BOMB_BYTES, _BOMB_RATIO = 64 * MIB, 200

_ACCEPTED = "accepted is plain text, gzipped text (.gz), or one text file in a .zip"
_FOREIGN = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "a picture",
    b"\x89HDF": "an HDF5 file",
}
_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True)
class Unpacked:
    """The content of a raw object, its name inside an archive and, for text, the encoding that it was read in."""

    data: Bytes
    member: str | None = None
    encoding: str = "utf-8"


def read_text(data: bytes, max_bytes: int = MAX_BYTES) -> Unpacked:
    """Unpack a raw object and decode its text to UTF-8 without a byte order mark.

    UTF-8, UTF-16 and UTF-32 with a mark are read as such. Bytes that are not UTF-8 are read as Windows-1252, in which
    symbols, dates and numbers are the same.

    Raises FileRefused as `unpack` does, and for NUL bytes and text in another encoding.
    """
    raw = unpack(data, max_bytes)
    text, encoding = _decoded(raw.data)
    return Unpacked(text, raw.member, encoding)


def unpack(data: bytes, max_bytes: int = MAX_BYTES) -> Unpacked:
    """Unpack a raw object, without decoding what is in it.

    Plain, gzip (any number of members) and zip with one text file are told apart by their first bytes. Unpacking stops
    as soon as there are more than `max_bytes`.

    Raises FileTooLarge for too much text, and FileRefused for other formats and damaged or nested archives.
    """
    member, packed = None, True
    if data[:2] == b"\x1f\x8b":
        text: Bytes = _gunzip(data, max_bytes)
    elif data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        text, member = _unzip(data, max_bytes)
    else:
        text, packed = data, False
        if len(text) > max_bytes:
            raise _too_large(max_bytes)
    if packed and text[:2] in (b"\x1f\x8b", b"PK"):
        raise FileRefused(f"an archive inside an archive: pack the file only once; {_ACCEPTED}")
    for magic, what in _FOREIGN.items():
        if text[: len(magic)] == magic:
            raise FileRefused(f"this is {what}, not text; {_ACCEPTED}")
    return Unpacked(text, member)


def _gunzip(data: bytes, max_bytes: int) -> bytearray:
    if int.from_bytes(data[-4:], "little") > max_bytes:
        # The file says that it holds this much text. If that is true, it is found here without keeping any of it.
        for _ in _gunzipped(data, max_bytes):
            pass
    text = bytearray()
    for piece in _gunzipped(data, max_bytes):
        text += piece
    return text


def _gunzipped(data: bytes, max_bytes: int) -> Iterator[bytes]:
    """The text of a gzip file of any number of members, in pieces."""
    size, at = 0, 0
    source = memoryview(data)
    while at < len(source):
        member, pending = zlib.decompressobj(wbits=31), b""
        while not member.eof:
            fed = pending or bytes(source[at : at + _STEP])
            at += 0 if pending else len(fed)
            try:
                piece = member.decompress(fed, MIB)
            except zlib.error as error:
                raise FileRefused(f"the gzip file is damaged ({error}); upload it again") from error
            if not fed and not piece and not member.eof:
                raise FileRefused("the gzip file ends in the middle: it was cut off; upload it again")
            size += len(piece)
            pending = member.unconsumed_tail
            _check_size(size, at, max_bytes)
            yield piece
        at -= len(member.unused_data)
        while at < len(source) and source[at] == 0:  # padding, which gzip itself accepts too
            at += 1


def _unzip(data: bytes, max_bytes: int) -> tuple[bytearray, str]:
    text = bytearray()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = _only_member(archive.infolist())
            _check_size(member.file_size, member.compress_size, max_bytes)
            with archive.open(member) as file:
                while chunk := file.read(_STEP):
                    text += chunk
                    _check_size(len(text), len(data), max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise FileRefused(f"the zip file is damaged ({quoted(str(error))}); upload it again") from error
    except (NotImplementedError, RuntimeError) as error:  # an unknown method; a password
        raise FileRefused(
            f"the zip file cannot be read ({quoted(str(error))}); pack it without a password, deflated"
        ) from error
    return text, member.filename


def _only_member(members: Iterable[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    files = [m for m in members if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if any(m.filename == "[Content_Types].xml" for m in files):
        raise FileRefused(f"this is an Office document (.xlsx), not text: save the sheet as CSV; {_ACCEPTED}")
    # A report beside the one CSV is not a second table.
    kinds = ([m for m in files if m.filename.lower().endswith(ends)] for ends in ((".csv",), (".txt", ".tsv")))
    texts = next(filter(None, kinds), files)
    if len(texts) != 1:
        names = ", ".join(quoted(m.filename) for m in texts[:5]) or "nothing"
        raise FileRefused(
            f"a zip file must hold exactly one CSV; this one holds {len(texts)} ({names}): upload each alone"
        )
    return texts[0]


def _check_size(size: int, packed: int, max_bytes: int) -> None:
    """Refuse too much text, and text that came from far too few bytes: `packed` bytes so far."""
    if size > max_bytes:
        raise _too_large(max_bytes)
    if size > _BOMB_BYTES and size > _BOMB_RATIO * packed:
        raise FileRefused(
            f"unpacks to more than {_BOMB_RATIO} times its size, which no price file does; upload it plain"
        )


def _too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(
        f"larger than {max_bytes / MIB:g} MiB of text; split the file, or raise STOCK_PIPELINE_MAX_OBJECT_MB (of a "
        "deployed stack: the parameter MaxObjectMb)"
    )


def _decoded(text: Bytes) -> tuple[Bytes, str]:
    for mark, encoding in _BOMS:
        if text[: len(mark)] == mark:
            try:
                text = text.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise FileRefused(
                    f"begins like {encoding.upper()} but is not ({error.reason}); save it as UTF-8"
                ) from error
    while text[:3] == b"\xef\xbb\xbf":  # several, if marked files were saved again with a mark
        text = text[3:]
    if b"\0" in text:
        line = text.count(b"\n", 0, text.index(b"\0")) + 1
        raise FileRefused(f"line {line} holds a NUL byte: binary, or UTF-16 without its mark; save the file as UTF-8")
    if text.isascii():
        return text, "utf-8"
    try:
        text.decode()
    except UnicodeDecodeError:
        try:
            return text.decode("cp1252").encode(), "Windows-1252"
        except UnicodeDecodeError as error:
            raise FileRefused("neither UTF-8 nor Windows-1252 text; save the file as UTF-8") from error
    return text, "utf-8"
