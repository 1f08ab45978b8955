"""The floor: the work that no program on these formats can avoid, which is typed reading of clean input, and the write.

daily      CSV LAKE          pyarrow.csv with the types given, then Parquet with the pipeline's settings, unsorted
ticks      NDJSON LAKE       pyarrow.json with the schema given, then Parquet; a folder's files are joined first
recorded   FOLDER LAKE       the same, and for each of the folder's files an object of ten rejected rows
rewrite    OBJECT LAKE       a year's object read and written again
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pyarrow as pa


def daily(source: str, lake: str) -> None:
    from pyarrow import csv

    types = {"symbol": pa.dictionary(pa.int32(), pa.string()), "date": pa.date32(), "volume": pa.float64()}
    types |= dict.fromkeys(("open", "high", "low", "close"), pa.float64())
    rows = csv.read_csv(source, convert_options=csv.ConvertOptions(column_types=types))
    _write(rows, Path(lake) / "year.parquet", ["symbol", "date"])


def ticks(source: str, lake: str) -> None:
    from pyarrow import json

    fields = [("event_id", pa.string()), ("symbol", pa.string()), ("price", pa.float64())]
    fields += [("size", pa.float64()), ("produced_at", pa.timestamp("us"))]
    path = Path(source)
    if path.is_dir():
        data = b"".join(file.read_bytes() for file in sorted(path.iterdir()))
    elif path.suffix == ".gz":
        data = gzip.decompress(path.read_bytes())
    else:
        data = path.read_bytes()
    options = json.ParseOptions(explicit_schema=pa.schema(fields))
    rows = json.read_json(pa.BufferReader(data), parse_options=options)
    _write(rows, Path(lake) / "ticks.parquet", ["symbol"])


def recorded(source: str, lake: str) -> None:
    from pyarrow import parquet

    ticks(source, lake)
    for file in sorted(Path(source).iterdir()):
        raw = file.read_text().splitlines()[:10]
        rows = pa.table({
            "target_table": ["ticks"] * 10, "source": [file.name] * 10, "line": range(10),
            "reason": ["malformed_json"] * 10, "detail": ["unexpected end of data"] * 10, "raw": raw,
        })  # fmt: skip
        parquet.write_table(rows, Path(lake) / file.with_suffix(".parquet").name, compression="none")


def rewrite(source: str, lake: str) -> None:
    from stock_pipeline.lake.parquet import decode, encode
    from stock_pipeline.schemas import PRICE_BY_DATE

    rows = decode(Path(source).read_bytes(), PRICE_BY_DATE, source)
    (Path(lake) / "year.parquet").write_bytes(encode(rows, PRICE_BY_DATE))


def _write(rows: pa.Table, path: Path, dictionary: list[str]) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, path, compression="zstd", row_group_size=128 * 1024, use_dictionary=dictionary)


if __name__ == "__main__":
    {"daily": daily, "ticks": ticks, "recorded": recorded, "rewrite": rewrite}[sys.argv[1]](*sys.argv[2:])
