"""Cases: files of the corpus, changed as bytes, as cells and lines, as JSON, and as archives."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any

from stock_pipeline_tests.corpus import content, files
from stock_pipeline_tests.support.vendor_messages import MESSAGES, VALUES
from stock_pipeline_tests.support.vendor_messages import message as message_of

LONGEST = 4096

_CELLS = (
    "", " ", "-", "NA", "null", "NaN", "inf", "-inf", "TRUE", "0700", "1E5", "AAPL", "aapl", "BRK-B", "BRK/B", "VOD.L",
    "^GSPC", "ıbm", "\u00a0A", "../x", "A'; DROP TABLE x;--", "<b>|`", "=1+1", "ABCDEFGHIJKLMNOPQ", "0", "-0", "-1",
    "1", "10", "1.5", "1,5", "1.234,50", "1,234", "4,787,699", "$12.30", "-$0.5", "1e999", "1e-999", "5e-324", ".",
    "1.2.3",
    "9007199254740992", "99999999999999999999", "0x10", "1_0", "٣", "2024-01-02", "2024/01/02", "20240102", "1/2/2024",
    "13/1/2024", "1/13/2024", "1.2.2024", "01-02-2024", "3-Jan-22", "Jan 2, 2024 4:00 PM", "2024-02-30", "1899-12-31",
    "2024-01-02T23:30:00-05:00", "2023-04-14 00:00:00+09:00", "1704153600", "1704171600000", "1704171600000000000",
    "9999999999999999999", "45293", "NaT", "date", "symbol", "close", "volume", "open", "high", "low", "time", "per",
    "02/01/2024", "03/01/2024", "24-01-02", "24-01-03", "Tue 02 Jan 2024", "02 ene 2024", "2024-01-02T05:00:00Z",
    "2024-01-03T00:00:00Z", "2024-01-03T16:00:01Z", "1704205800", "1704167100", "20240102.0", "BCpC", "M&M", "BTC/USDT",
    "O:SPY251219C00650000", "VOD.L", "7203.T", "EQ", "N2", "BE", "2024-12-26", "XX", "12.34M", "567.8K", "1 234",
    "1\u202f234,5", "1'234.5", "\u20ac10", "10 USD", "$1", "12,34,567", '"1,234"', '"1,0931"', '"12,34,567.5"', "1.234",
    "1.234.567", '="0050"', '"=""0050"""', "-1.0", "9007199254740993", "Date,Close", "Close.1", "series", "expiry",
    "exchange", "src", "vol", "Total volume", "Price", "Ticker",
    "D", "5", '"', '""', '"a"', '"a\nb"', '"a', 'a"b', "\x00", "\x1b[2J", "\u2028", "\ufeff", "\ud7ff", "😀",
)  # fmt: skip
_BYTES = tuple(
    b"\n|\r|\r\n|,|;|\t|\"|\"\"|{|}|[|]|}{|\\|\\u0000|\\ud800|null|\x00|\xff|\xef\xbb\xbf|\xff\xfe|\x1f\x8b|PK\x03\x04|"
    b"sep=;\n|symbol,date,close\n|\nDate,Close,Open\n|\nclose,date,symbol\n|a title\n|,\n|;\n|=|"
    b"{\"symbol\":\"A\",\"price\":1,\"produced_at\":\"2024-06-03 11:00:00\"}".split(b"|")
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e300, 2**63, 2**64 - 1, 10**30, -(10**30), 1717412400, 1717412400000,
    1717412400000000, 1717412400000000000, [], {}, [[]], [1], "2024-06-03 11:00:00", "2024-06-03T11:00:00Z",
    "2034-06-03T11:00:00Z", "2024-06-03T20:00:00+09:00", "1989-01-01 00:00:00", "x" * 129, "t", "T", "q", "trade",
    "match", *_CELLS,
)  # fmt: skip
_KEYS = (
    "symbol", "price", "size", "produced_at", "event_id", "T", "S", "p", "s", "t", "i", "x", "ev", "sym", "trfi",
    "type", "data", "v", "product_id", "time", "trade_id", "note", "e", "E", "q", "c", "z", "ds", "trft", "channel",
    "topic", "ch", "arg", "events", "id", "amount", "qty", "px", "timestamp", "exchange", "stream", "event", "oi", "op",
)  # fmt: skip

_TAKING_BACK = (
    '{"T":"x","S":"QXN","i":101,"x":"D","p":81.1,"s":25000,"a":"C","z":"A","t":"2024-06-03T11:00:30Z"}',
    '{"T":"c","S":"QXI","x":"M","oi":200,"op":541.3,"os":2500,"oc":[" "],"ci":201,"cp":451.3,"cs":2500,"cc":[" "],'
    '"z":"B","t":"2024-06-03T11:00:25Z"}',
)
_DATES = (
    "%Y-%m-%d",
    "%Y-%m-%d",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d.%m.%Y",
    "%y-%m-%d",
    "%d %b %Y",
    "%Y-%m-%dT00:00:00Z",
    "%s",
)

Mutation = Callable[[bytes, Random], bytes]


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """The files of the corpus of a kind that are short."""
    return tuple(data for name in files() if name.startswith(kind) and len(data := content(name)) <= LONGEST)


def make_case(kind: str, seed: int, number: int) -> bytes:
    """The case of this number: the same bytes for the same seed."""
    random = Random(f"{kind}/{seed}/{number}")
    data = _generated(kind, random) if random.random() < 0.3 else random.choice(seeds(kind))
    for _ in range(random.choice((0, 1, 1, 2, 3, 5, 8))):
        data = random.choice(_JSON_MUTATIONS if kind == "ticks" else _CSV_MUTATIONS)(data, random)[:LONGEST]
    return random.choice(_PACKINGS)(data, random) if random.random() < 0.05 else data


def _generated(kind: str, random: Random) -> bytes:
    lines = [_message(random) if kind == "ticks" else "" for _ in range(random.randint(0, 12))]
    if kind == "ticks":
        return "".join(line + random.choice(("\n", "\n", "\n", "", "\r\n", " ")) for line in lines).encode()
    separator = random.choice((",", ",", ",", ";", "\t", "|"))
    header = [
        "symbol",
        "date",
        "close",
        "open",
        "high",
        "low",
        "volume",
        "adj close",
        "note",
        "time",
        "series",
        "expiry",
    ]
    header = random.sample(header[:3], 3) + random.sample(header[3:], random.randint(0, 4))
    form = random.choice(_DATES)
    rows = [[_cell(name, random, form) for name in header] for _ in lines]
    table = [header, *rows]
    if random.random() < 0.1:
        random.choice(rows or [header]).append("more")
    if random.random() < 0.1:
        table = [header, *([*row, random.choice(("", "", "1", "x"))] for row in rows)]
    if random.random() < 0.1:
        table.insert(random.randint(0, len(table)), random.sample(header, len(header)))
    if random.random() < 0.1:
        table.insert(0, ["a title"])
    return "\n".join(separator.join(row) for row in table).encode("utf-8", "surrogatepass")


def _cell(name: str, random: Random, form: str) -> str:
    if random.random() < 0.25:
        return random.choice(_CELLS)
    if name == "symbol":
        return random.choice(("AAPL", "MSFT", "BRK.B", "NA", "0700", "VOD.L", "BCpC"))
    if name == "date":
        days = random.randint(0, random.choice((9, 90)))
        return str(1704067200 + 86400 * days) if form == "epoch" else f"{date(2024, 1, 1) + timedelta(days):{form}}"
    if name == "series":
        return random.choice(("EQ", "EQ", "BE", "N1", ""))
    if name == "expiry":
        return random.choice(("", "", "", "", "", "", "2024-12-26"))
    return str(random.choice((random.randint(1, 9), random.randint(1, 99) / 8)))


def _vendors_message(random: Random) -> str:
    """A message of any vendor's form, plain but for a few of its values."""
    form = random.choice(list(MESSAGES))

    def value(name: str, n: int) -> str:
        return VALUES[name](n) if random.random() < 0.9 else random.choice(_CELLS).replace('"', "")

    text = message_of(form, random.randrange(1000), random.choice((1, 1, 2, 3)), value)
    if random.random() < 0.2:
        text = f"[{text},{message_of(form, random.randrange(1000))}]"
    return text.replace('":', '": ').replace(",", ", ") if random.random() < 0.2 else text


def _message(random: Random) -> str:
    if random.random() < 0.4:
        return _vendors_message(random)
    if random.random() < 0.1:
        return random.choice(_TAKING_BACK)
    message: dict[str, Any] = {"symbol": "AAPL", "price": random.randint(1, 9), "produced_at": "2024-06-03 11:00:00"}
    for _ in range(random.choice((0, 0, 1, 2, 4))):
        message[random.choice(_KEYS)] = random.choice(_VALUES)
    if random.random() < 0.2:
        message.pop(random.choice(list(message)))
    value = [message] * random.randint(0, 2) if random.random() < 0.1 else message
    return json.dumps(value, ensure_ascii=random.random() < 0.5, indent=random.choice((None, None, None, 1)))


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _insert(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + (random.choice(_BYTES) or random.randbytes(random.randint(1, 4))) + data[at:]


def _remove(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.choice((1, 1, 2, 8, 64)) :]


def _cut_off(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _repeat(data: bytes, random: Random) -> bytes:
    start = random.randint(0, len(data))
    end = random.randint(start, min(len(data), start + 200))
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 20)) + data[end:]


def _splice(data: bytes, random: Random) -> bytes:
    other = random.choice(seeds(random.choice(("daily", "ticks"))))
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _swap_lines(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def _change_cell(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    separator = random.choice((b",", b",", b";", b"\t", b"|"))
    cells = lines[at].split(separator)
    cells[random.randrange(len(cells))] = random.choice(_CELLS).encode("utf-8", "surrogatepass")
    lines[at] = separator.join(cells)
    return b"\n".join(lines)


def _other_breaks(data: bytes, random: Random) -> bytes:
    return data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\r\r\n", b"\n\n", b"", b"\n \n")))


def _other_separator(data: bytes, random: Random) -> bytes:
    return data.replace(b",", random.choice((b";", b"\t", b"|", b",,", b'","')))


def _change_value(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    try:
        message = json.loads(lines[at])
        message[random.choice(_KEYS)] = random.choice(_VALUES)
        lines[at] = json.dumps(message, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, RecursionError):
        lines[at] = _message(random).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def _gzipped(data: bytes, random: Random) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return _flip(packed, random) if random.random() < 0.3 else packed


def _zipped(data: bytes, random: Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        archive.writestr(zipfile.ZipInfo(random.choice(("a.csv", "AAPL.csv", "x", "../a.jsonl"))), data)
    packed = file.getvalue()
    return _flip(packed, random) if random.random() < 0.3 else packed


def _encoded(data: bytes, random: Random) -> bytes:
    return data.decode("utf-8", "replace").encode(
        random.choice(("utf-16", "utf-8-sig", "utf-32", "utf-16-le")), "replace"
    )


_ANY: tuple[Mutation, ...] = (_flip, _insert, _insert, _remove, _cut_off, _repeat, _splice, _swap_lines, _other_breaks)
_CSV_MUTATIONS = (*_ANY, _change_cell, _change_cell, _change_cell, _change_cell, _other_separator)
_JSON_MUTATIONS = (*_ANY, _change_value, _change_value, _change_value, _change_value)
_PACKINGS: tuple[Mutation, ...] = (_gzipped, _zipped, _encoded)
