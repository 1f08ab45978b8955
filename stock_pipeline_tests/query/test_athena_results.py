"""The forms of Athena's results as tables. The law: whatever Hive prints in lines is the table that it printed."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.query import sql
from stock_pipeline.query.athena_results import table_of
from stock_pipeline.schemas import TABLES, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena

WORDS = st.text(st.characters(blacklist_categories=["C", "Z"], blacklist_characters="#"), min_size=1, max_size=30)
HEADINGS = ["\t \t ", "# Partition Information\t \t ", "# col_name            \tdata_type           \tcomment "]


def described(table: Table) -> list[str]:
    """What DESCRIBE prints of a table: its columns with those of the partition, and the latter once more."""
    columns = [(c.name, c.athena_type, c.description) for c in table.columns]
    partition = [(name, "string" if name == "table" else "int", "") for name in table.partition]
    lines = [padded(*line) for line in (*columns, *partition)]
    return [
        *lines,
        *(HEADINGS if partition else []),
        *([" \t\t"] if partition else []),
        *(padded(*p) for p in partition),
    ]


def padded(*cells: str) -> str:
    return "\t".join(cell.ljust(20) for cell in cells)


def columns(*names: str) -> list[dict[str, str]]:
    return [{"Name": name, "Type": "string"} for name in names]


@pytest.mark.parametrize(("table", "word"), [*zip(TABLES.values(), ["DESCRIBE", "describe", "DESC"] * 2, strict=True)])
def test_describe_gives_each_column_once_and_tells_those_of_the_partition(
    athena: FakeAthena, on_athena: Settings, table: Table, word: str
) -> None:
    statement = f"{word} {table.name}"
    athena.listings[statement] = (["col_name", "data_type", "comment"], described(table))
    found = sql(statement, settings=on_athena)
    assert found.schema.names == ["col_name", "data_type", "comment", "partition"]
    assert found["col_name"].to_pylist() == [*table.schema.names, *table.partition]
    assert found["comment"].to_pylist()[: len(table.columns)] == [c.description for c in table.columns]
    assert found["comment"].to_pylist()[len(table.columns) :] == [None] * len(table.partition)
    assert [row["col_name"] for row in found.to_pylist() if row["partition"]] == list(table.partition)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.tuples(*[WORDS | st.none()] * n), max_size=8)))
def test_lines_of_any_width_are_the_rows_that_were_printed(rows: list[tuple[str | None, ...]]) -> None:
    """Blank lines separate parts and are no rows. A short line has nulls at its end."""
    width = len(rows[0]) if rows else 2
    names = [f"c{n}" for n in range(width)]
    lines = [[padded(*(cell or "" for cell in row)).rstrip("\t")] for row in rows]
    found = table_of("SHOW TBLPROPERTIES t", columns(*names), lines)
    assert [tuple(row.values()) for row in found.to_pylist()] == [row for row in rows if any(row)]
    cells = table_of("SHOW TBLPROPERTIES t", columns(*names), [list(row) for row in rows])
    assert cells == found


@settings(max_examples=30, deadline=None)
@given(st.lists(WORDS, max_size=8), st.sampled_from(["SHOW TABLES", "SHOW COLUMNS IN t", "show databases"]))
def test_a_list_of_names_has_no_padding(names: list[str], statement: str) -> None:
    found = table_of(statement, columns("name"), [[name.ljust(40)] for name in names])
    assert found == pa.table({"name": pa.array(names, pa.string())})


def test_a_table_that_has_the_name_of_the_column_is_no_heading() -> None:
    assert table_of("SHOW TABLES", columns("tab_name"), [["tab_name"]]).num_rows == 1


def test_what_creates_a_table_keeps_its_indentation() -> None:
    lines = ["CREATE EXTERNAL TABLE `t`(", "  `symbol` string COMMENT 'ticker', ", "  `date` date)"]
    found = table_of("SHOW CREATE TABLE t", columns("createtab_stmt"), [[line] for line in lines])
    assert found["createtab_stmt"].to_pylist() == [line.rstrip() for line in lines]


def test_a_table_in_full_keeps_all_that_is_printed() -> None:
    """DESCRIBE FORMATTED has parts of its own, in which rows are no columns of the table."""
    lines = [padded("symbol", "string", ""), *HEADINGS, padded("year", "int", ""), " \t\t",
             "# Detailed Table\t \t ", padded("Database:", "db"), padded("Owner:", "hadoop\t")]  # fmt: skip
    found = table_of("DESCRIBE FORMATTED t", columns("col_name", "data_type", "comment"), [[line] for line in lines])
    assert found["col_name"].to_pylist() == [
        "symbol", "# Partition Information", "# col_name", "year", "# Detailed Table", "Database:", "Owner:",
    ]  # fmt: skip
    assert found["data_type"].to_pylist()[-2:] == ["db", "hadoop"]


PLAN = ["Fragment 0 [SINGLE]", "    Output layout: [symbol]", "", "    - Output[symbol] => [[symbol]]\tcpu"]


@pytest.mark.parametrize("rows", [[["Query Plan"], *([line] for line in PLAN)], [[line] for line in PLAN],
                                  [["Query Plan"], ["\n".join(PLAN)]]])  # fmt: skip
@pytest.mark.parametrize(
    "statement", ["EXPLAIN SELECT 1", "explain (type distributed) select 1", "EXPLAIN ANALYZE SELECT 1"]
)
def test_a_plan_is_its_lines(rows: list[list[str | None]], statement: str) -> None:
    assert table_of(statement, columns("Query Plan"), rows)["Query Plan"].to_pylist() == PLAN


def test_a_row_of_a_select_that_reads_like_the_names_stays(athena: FakeAthena, on_athena: Settings) -> None:
    found = sql("SELECT symbol FROM (VALUES ('symbol'), ('A')) AS t (symbol)", settings=on_athena)
    assert sorted(found["symbol"].to_pylist()) == ["A", "symbol"]


def test_a_result_of_many_pages_is_one_table(athena: FakeAthena, on_athena: Settings) -> None:
    found = sql("SELECT range AS n FROM range(2500)", settings=on_athena)
    assert found["n"].to_pylist() == list(range(2500))
    assert athena.calls.count("GetQueryResults") == 3
