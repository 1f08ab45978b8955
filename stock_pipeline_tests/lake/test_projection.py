"""Objects of other versions of a schema: what is read of them, and which nobody may write anew."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline import __version__
from stock_pipeline.errors import NewerSchema, SchemaMismatch
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.lake.partitions import merge_into_partition, partition_key, read_partition, read_version
from stock_pipeline.lake.rejected_records import read_rejects, rejects_partition, write_rejects
from stock_pipeline.local.folders import CHECKOUT
from stock_pipeline.query import duckdb_engine as duck
from stock_pipeline.schemas import (
    PRICE_BY_DATE,
    REJECTED,
    REJECTED_RECORDS,
    STREAM_PRICES_HISTORY,
    TABLES,
    Column,
    Table,
)
from stock_pipeline_tests.support.memory_store import MemoryStore

KEY = "price_by_date/year=2024/prices.parquet"
LOADED = datetime(2024, 6, 1, tzinfo=UTC)
ROW: dict[str, Any] = dict.fromkeys(PRICE_BY_DATE.schema.names) | {
    "symbol": "AAPL", "date": date(2024, 1, 2), "open": 1.5, "high": 2.5, "low": 1.0, "close": 2.0, "adj_close": 2.0,
    "volume": 100.0, "adj_known_at": LOADED, "source": "a.csv", "etl_loading_ts": LOADED,
}  # fmt: skip
PLAIN = {"symbol": pa.string(), "source": pa.string()}


def stored(row: dict[str, Any] = ROW, types: dict[str, pa.DataType] | None = None, version: str = "") -> bytes:
    """One row as another version of this package, or another tool, would have stored it."""
    schema = {f.name: f.type for f in PRICE_BY_DATE.schema} | PLAIN | (types or {})
    rows = pa.table({name: pa.array([value], schema.get(name)) for name, value in row.items()})
    if version:
        rows = rows.replace_schema_metadata({"schema_version": version, "written_by": "stock-pipeline 9.1"})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return bytes(sink.getvalue())


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name not in names}


def lake(data: bytes) -> MemoryStore:
    store = MemoryStore("lake")
    store.put(KEY, data)
    return store


def test_the_footer_says_the_version_of_the_schema_and_who_wrote_it() -> None:
    for table in TABLES.values():
        said = footer(encode(table.schema.empty_table(), table, {"more": "x"}))
        assert said == {
            "schema_version": str(table.version), "written_by": f"stock-pipeline {__version__}", "more": "x",
        }  # fmt: skip


def test_the_version_of_the_package_is_that_of_its_distribution() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]


def test_a_schema_has_the_version_of_its_latest_column() -> None:
    assert PRICE_BY_DATE.version == max(column.since for column in PRICE_BY_DATE.columns)
    later = replace(PRICE_BY_DATE, columns=(*PRICE_BY_DATE.columns, Column("x", pa.string(), "", True, since=7)))
    assert later.version == 7


@pytest.mark.parametrize("name", [c.name for c in PRICE_BY_DATE.columns])
def test_a_column_that_is_not_stored_is_null_where_it_may_be(name: str) -> None:
    data = stored(without(name))
    if not PRICE_BY_DATE.column(name).nullable:
        with pytest.raises(SchemaMismatch, match=f"^{KEY} has no column {name}, .*a version before schema 2"):
            decode(data, PRICE_BY_DATE, KEY)
        return
    rows = decode(data, PRICE_BY_DATE, KEY)
    assert rows.schema.equals(PRICE_BY_DATE.schema)
    assert rows.to_pylist() == [ROW | {name: None}]
    assert decode(data, PRICE_BY_DATE, KEY, [name]).to_pylist() == [{name: None}]


@given(st.permutations(list(ROW)))
def test_columns_come_in_any_order(names: list[str]) -> None:
    rows = decode(stored({name: ROW[name] for name in names}), PRICE_BY_DATE, KEY)
    assert rows.schema.equals(PRICE_BY_DATE.schema)
    assert rows.to_pylist() == [ROW]


WIDER = [
    ("volume", pa.int64(), 100), ("volume", pa.int32(), 100), ("volume", pa.uint8(), 100),
    ("volume", pa.float32(), 2.5),
    ("volume", pa.int64(), 2**53), ("volume", pa.null(), None), ("open", pa.float32(), 1.5), ("open", pa.int8(), 1),
    ("symbol", pa.dictionary(pa.int32(), pa.string()), "AAPL"), ("symbol", pa.large_string(), "AAPL"),
    ("symbol", pa.string_view(), "AAPL"), ("source", pa.dictionary(pa.int8(), pa.large_string()), "a.csv"),
    ("etl_loading_ts", pa.timestamp("s", "UTC"), LOADED), ("etl_loading_ts", pa.timestamp("ms", "UTC"), LOADED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "type_", "value"), WIDER, ids=lambda value: str(value))
def test_a_type_that_holds_less_is_cast(name: str, type_: pa.DataType, value: object) -> None:
    try:
        data = stored(ROW | {name: value}, {name: type_})
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"this version of pyarrow cannot write such a column: {error}")
    rows = decode(data, PRICE_BY_DATE, KEY)
    assert rows.schema.equals(PRICE_BY_DATE.schema)
    assert rows.to_pylist() == [ROW | {name: value}]
    found = duck.run(f"SELECT {name} FROM price_by_date WHERE year = 2024", (), lake(data), "stock_market")
    assert found.to_pylist() == [{name: value}]


def test_a_dictionary_is_read_as_plain_values_and_nulls_as_a_dictionary() -> None:
    """Where the table has it the other way round than whoever wrote the object."""
    row = {"event_id": "e1", "symbol": "AAPL", "price": 1.5, "produced_at": LOADED, "exchange": None, "source": "a"}
    types = PLAIN | {"event_id": pa.dictionary(pa.int8(), pa.string()), "exchange": pa.null()}
    types |= {name: STREAM_PRICES_HISTORY.column(name).type for name in ("price", "produced_at", "etl_loading_ts")}
    row |= {"etl_loading_ts": LOADED}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array([value], types[name]) for name, value in row.items()}), sink)
    rows = decode(bytes(sink.getvalue()), STREAM_PRICES_HISTORY, "k")
    assert rows.schema.equals(STREAM_PRICES_HISTORY.schema)
    assert rows.select(list(row)).to_pylist() == [row]


NARROWER = [
    ("volume", pa.decimal128(20, 3), 1), ("volume", pa.string(), "1"), ("symbol", pa.int64(), 1),
    ("symbol", pa.binary(), b"A"),
    ("date", pa.timestamp("us"), datetime(2024, 1, 2)), ("date", pa.string(), "2024-01-02"),  # noqa: DTZ001
    ("etl_loading_ts", pa.timestamp("us"), datetime(2024, 1, 2)),  # noqa: DTZ001 - without a zone it could be any time
    ("etl_loading_ts", pa.timestamp("ns", "UTC"), LOADED), ("close", pa.bool_(), True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "type_", "value"), NARROWER, ids=lambda value: str(value))
def test_a_type_that_would_have_to_be_cut_to_fit_is_an_error_that_names_the_object(
    name: str, type_: pa.DataType, value: object
) -> None:
    data = stored(ROW | {name: value}, {name: type_}, version="9")
    for read in (
        lambda: decode(data, PRICE_BY_DATE, KEY),
        lambda: duck.run("SELECT * FROM price_by_date", (), lake(data), "stock_market"),
    ):
        with pytest.raises(SchemaMismatch, match=f"^{KEY} holds {name} as .*stock-pipeline 9.1 with schema 9"):
            read()


def test_a_value_that_the_wider_type_does_not_hold_is_an_error_that_names_the_object() -> None:
    data = stored(ROW | {"volume": 2**53 + 1}, {"volume": pa.int64()})
    with pytest.raises(SchemaMismatch, match=f"^{KEY} holds a volume that a double cannot"):
        decode(data, PRICE_BY_DATE, KEY)


def test_a_null_where_every_row_needs_a_value_is_an_error_that_names_the_object() -> None:
    with pytest.raises(SchemaMismatch, match=f"^{KEY} has 1 rows without close"):
        decode(stored(ROW | {"close": None}), PRICE_BY_DATE, KEY)


def test_an_integer_widens_and_does_not_narrow() -> None:
    def table(type_: pa.DataType) -> Table:
        column = Column("n", type_, "", nullable=True)
        return Table("t", "t/", "", (column,), key=(), sort=(), dictionary=())

    kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    for one in kinds:
        for other in kinds:
            rows = pa.table({"n": pa.array([1], one)})
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink)
            signed = [str(type_).startswith("i") for type_ in (one, other)]
            fits = one == other or (one.bit_width < other.bit_width and (signed[0] == signed[1] or signed[1]))
            if fits:
                assert decode(bytes(sink.getvalue()), table(other), "t/x")["n"].type == other
            else:
                with pytest.raises(SchemaMismatch, match=r"^t/x holds n as"):
                    decode(bytes(sink.getvalue()), table(other), "t/x")


@pytest.mark.parametrize("version", ["", "9"])
def test_a_reader_leaves_columns_unread_that_it_does_not_know(version: str) -> None:
    data = stored(ROW | {"strike": 1.75, "tags": ["a"]}, version=version)
    store = lake(data)
    assert read_partition(store, PRICE_BY_DATE, "year=2024").to_pylist() == [ROW]
    found = duck.run("SELECT * FROM price_by_date", (), store, "stock_market")
    assert found.column_names == [*PRICE_BY_DATE.schema.names, "year"]


def test_a_writer_refuses_to_drop_columns_and_names_who_wrote_them() -> None:
    store = lake(stored(ROW | {"strike": 1.75}, version="9"))
    before = store.objects[KEY].data
    incoming = pa.Table.from_pylist([ROW | {"symbol": "MSFT"}], PRICE_BY_DATE.schema)
    expected = (
        rf"{KEY} holds columns that this version does not know \(strike\).*stock-pipeline 9.1 with schema 9.*"
        rf"this is stock-pipeline {__version__} with schema {PRICE_BY_DATE.version}.*deploy the newer version"
    )
    with pytest.raises(NewerSchema, match=expected):
        merge_into_partition(store, PRICE_BY_DATE, "year=2024", incoming)
    with pytest.raises(NewerSchema):
        read_version(store, PRICE_BY_DATE, "year=2024", ["source"])
    assert store.objects[KEY].data == before


def test_a_writer_refuses_to_put_an_older_schema_in_the_place_of_a_newer_one() -> None:
    with pytest.raises(NewerSchema, match=r"holds rows of a newer schema: it was written by stock-pipeline 9\.1"):
        decode(stored(version=str(PRICE_BY_DATE.version + 1)), PRICE_BY_DATE, KEY, to_write=True)
    decode(stored(version=str(PRICE_BY_DATE.version)), PRICE_BY_DATE, KEY, to_write=True)


def test_rejected_records_of_a_newer_version_are_read_and_not_written_over() -> None:
    store, now = MemoryStore("lake"), LOADED
    source = MemoryStore("staging")
    source.put("a.csv", b"x")
    info = source.objects["a.csv"].info
    rejected = pa.Table.from_pylist([{"line": 2, "reason": "bad_date", "detail": "d", "raw": "r"}], REJECTED)
    write_rejects(store, PRICE_BY_DATE, info, rejected, now)
    key = partition_key(REJECTED_RECORDS, rejects_partition(PRICE_BY_DATE, "a.csv"))
    rows = pq.read_table(pa.BufferReader(store.objects[key].data)).append_column("later", pa.array([7]))
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata({"schema_version": "9", "written_by": "stock-pipeline 9.1"}), sink)
    store.put(key, bytes(sink.getvalue()))
    assert read_rejects(store, PRICE_BY_DATE, "a.csv")["line"].to_pylist() == [2]
    with pytest.raises(NewerSchema, match="later"):
        write_rejects(store, PRICE_BY_DATE, info, rejected.slice(0, 0), now)
