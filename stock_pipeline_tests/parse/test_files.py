"""Compression, archives, encodings, and the cap on their size."""

import gzip
import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline.parse.files import read_text, unpack
from stock_pipeline_tests.support.daily_files import good, load, refusal, rejects

TEXT = "date,close,note\n2024-01-02,11.25,Nestlé\n"
BAR = [{"symbol": "AAPL", "close": 11.25}]
MIB = 1024 * 1024


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def closes(data, *args):
    return [{k: row[k] for k in ("symbol", "close")} for row in good(data, *args)]


@pytest.mark.parametrize("key", ["AAPL.csv", "AAPL.txt", "AAPL.csv.gz", "AAPL.zip", "symbol=AAPL/x"])
@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT[:20].encode()) + gzip.compress(TEXT[20:].encode()),
        gzip.compress(TEXT.encode()) + b"\0" * 512,
        zipped(("whatever.csv", TEXT)),
        zipped(("folder/", ""), ("folder/a.CSV", TEXT), ("readme.md", "hello"), ("__MACOSX/folder/._a.csv", "x")),
        zipped(("noextension", TEXT), method=zipfile.ZIP_STORED),
    ],
)
def test_what_a_file_is_is_told_by_its_bytes_not_its_name(data, key):
    assert closes(data, key) == BAR


def test_the_name_inside_an_archive_names_the_symbol_too():
    assert closes(zipped(("x/AAPL.csv", TEXT)), "download.zip") == BAR


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_encodings(encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert closes(mark + TEXT.encode(encoding)) == BAR


def test_raw_text_of_another_encoding_is_shown_as_it_reads():
    cleaned = load(TEXT.replace("11.25", "x").encode("cp1252"))
    assert cleaned.rejected["raw"].to_pylist() == ["2024-01-02,x,Nestlé"]


def test_a_mark_stands_for_nothing():
    assert closes(b"\xef\xbb\xbf" + TEXT.encode()) == BAR
    assert "the file is empty" in refusal(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"\n \n\t\n", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (zipped(("a.csv", "")), "the file is empty"),
        (b"PAR1\x15\x04", "this is a Parquet file, not text"),
        (b"\x28\xb5\x2f\xfd\x00", "this is compressed with zstd"),
        (b"BZh91AY", "bzip2"),
        (b"%PDF-1.7", "a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
        (zipped(("[Content_Types].xml", "<x/>"), ("xl/workbook.xml", "<x/>")), "an Office document (.xlsx)"),
        (gzip.compress(b"PAR1\x15\x04"), "a Parquet file"),
        (gzip.compress(gzip.compress(TEXT.encode())), "an archive inside an archive"),
        (zipped(("a.csv", gzip.compress(TEXT.encode()))), "an archive inside an archive"),
        (gzip.compress(zipped(("a.csv", TEXT))), "an archive inside an archive"),
        (gzip.compress(TEXT.encode())[:-12], "ends in the middle"),
        (b"\x1f\x8b", "ends in the middle"),
        (b"\x1f\x8bnonsense", "the gzip file is damaged"),
        (gzip.compress(TEXT.encode()) + b"trailing", "the gzip file is damaged"),
        (gzip.compress(TEXT.encode())[:-5] + b"xxxxx", "the gzip file is damaged"),
        (zipped(), "must hold exactly one CSV; this one holds 0 (nothing)"),
        (zipped(("a.csv", TEXT), ("b.csv", TEXT)), "this one holds 2 ('a.csv', 'b.csv')"),
        (zipped(("a.csv", TEXT))[:-30], "the zip file is damaged"),
        (b"PK\x03\x04", "the zip file is damaged"),
        (zipped(("a.csv", TEXT), method=zipfile.ZIP_STORED).replace(b"11.25", b"99.25"), "the zip file is damaged"),
        (b"date,close\n2024-01-02,1\n2024-01-03,\x00\n", "line 3 holds a NUL byte"),
        (TEXT.encode("utf-16-le"), "line 1 holds a NUL byte: binary, or UTF-16 without its mark"),
        (b"\xff\xfed", "begins like UTF-16 but is not"),
        (b"date,close\n2024-01-02,\x81\n", "neither UTF-8 nor Windows-1252"),
        (b'{"date": "2024-01-02"}', "this is JSON"),
        (b'[{"date": "2024-01-02"}]', "this is JSON"),
        (b"<!DOCTYPE html><html>", "this is HTML or XML"),
        (b"  <html><body>Too many requests", "this is HTML or XML"),
        (b"<?xml version='1.0'?>", "this is HTML or XML"),
        (b"Too many requests\n", "has one column only"),
        (b'date,"close\n2024-01-02,1\n', "a quote in the header is not closed"),
        (b'date,"close"d\n2024-01-02,1\n', "a quote in the header is not closed, or is inside a cell"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(data, says):
    assert says in refusal(data)


def test_a_zip_with_a_password_or_an_unknown_method_is_refused():
    data = bytearray(zipped(("a.csv", TEXT)))
    directory = data.index(b"PK\x01\x02")
    locked = data.copy()
    locked[6] |= 1
    locked[directory + 8] |= 1
    assert "pack it without a password" in refusal(bytes(locked))
    data[8], data[directory + 10] = 97, 97
    assert "pack it without a password, deflated" in refusal(bytes(data))


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, lambda b: zipped(("a.csv", b))])
def test_the_cap_is_on_the_text_and_exact(pack):
    text = TEXT.encode()
    assert len(parse_daily_prices(pack(text), "AAPL.csv", max_bytes=len(text))) == 1
    with pytest.raises(FileRefused, match=r"larger than .* MiB of text; split the file, or raise STOCK_PIPELINE_MAX"):
        parse_daily_prices(pack(text), "AAPL.csv", max_bytes=len(text) - 1)


@pytest.mark.parametrize("pack", [gzip.compress, lambda b: zipped(("a.csv", b))])
def test_a_bomb_is_refused_before_it_unfolds(pack):
    bomb = pack(b"0" * (200 * MIB))
    assert len(bomb) < MIB
    for limit, says, most in ((8 * MIB, "larger than 8 MiB", 32), (1024 * MIB, "more than 200 times its size", 160)):
        tracemalloc.start()
        with pytest.raises(FileRefused, match=says):
            unpack(bomb, limit)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most * MIB


def test_a_line_longer_than_a_block_is_refused():
    long = b"x" * (5 * MIB)
    assert "line 1 is longer than 4 MiB" in refusal(long)
    assert "line 3 is longer than 4 MiB" in refusal(
        b"date,close\n2024-01-02,1\n2024-01-03," + long + b"\n2024-01-04,1\n"
    )
    assert "line 2 is longer than 4 MiB" in refusal(b'date,close,note\n2024-01-02,1,"' + b"x\n" * (3 * MIB) + b'"\n')


def test_a_cell_just_short_of_a_block_is_taken():
    cleaned = load(b"date,close\n2024-01-02,1\n2024-01-03," + b"x" * (3 * MIB) + b"\n")
    assert rejects(cleaned) == [(3, "bad_number")]
    assert len(cleaned.rejected["detail"][0].as_py()) < 200


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x1f\x8b", b"PK\x03\x04", b"\xff\xfe", b"\xef\xbb\xbf", b"date,close\n"]),
)
def test_no_bytes_crash_the_reader(data, start):
    try:
        cleaned = load(start + data)
    except FileRefused:
        return
    lines = (start + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
    assert cleaned.rows <= lines or data.startswith((b"\xff\xfe", b"\x1f\x8b"))


@given(st.binary(min_size=1, max_size=40), st.integers(0, 200))
def test_damaged_archives_are_refused_or_whole(noise, at):
    for whole in (gzip.compress(TEXT.encode(), mtime=0), zipped(("a.csv", TEXT))):
        at %= len(whole)
        damaged = whole[:at] + noise + whole[at + len(noise) :]
        try:
            text = read_text(damaged).data
        except FileRefused:
            continue
        assert text == TEXT.encode() or damaged[:2] not in (b"\x1f\x8b", b"PK")
