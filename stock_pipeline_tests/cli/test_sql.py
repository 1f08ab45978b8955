"""`stock-pipeline sql`: one statement in, rows out in three forms."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stock_pipeline.cli.sql import show_rows, value_of
from stock_pipeline_tests.support.commands import Run

KINDS = (
    "SELECT 'a' AS text, 1 AS whole, 1.5::DOUBLE AS price, DATE '2024-01-02' AS day, "
    "TIMESTAMPTZ '2024-01-02 14:30:00.25+00' AS moment, NULL AS nothing, true AS truth, 2.50::DECIMAL(9, 2) AS exact"
)


@pytest.fixture
def prices(run: Run, aws: None, vendor_file: Callable[..., Path]) -> None:
    rows = [f"2024-01-{day:02},10,11,9,{9 + day / 10},100" for day in range(2, 30)]
    assert run("ingest", vendor_file("AAPL.csv", rows)).exit_code == 0


def test_a_table_for_people_by_default(run: Run, prices: None) -> None:
    done = run("sql", "SELECT symbol, close FROM price_by_date ORDER BY date LIMIT 2")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["symbol", "┃", "close"],
        ["━━━━━━━╇━━━━━━"],
        ["AAPL", "│", "9.2"],
        ["AAPL", "│", "9.3"],
    ]


def test_a_long_table_shows_its_beginning_and_says_so(run: Run, aws: None) -> None:
    done = run("sql", "SELECT * FROM range(1000)")
    assert len(done.stdout.splitlines()) == 102
    assert "100 of 1,000 rows" in done.stderr


def test_json_keeps_the_kinds_of_values(run: Run, aws: None) -> None:
    assert json.loads(run("sql", KINDS, "--format", "json").stdout) == [
        {
            "text": "a",
            "whole": 1,
            "price": 1.5,
            "day": "2024-01-02",
            "moment": "2024-01-02T14:30:00.250000+00:00",
            "nothing": None,
            "truth": True,
            "exact": 2.5,
        }
    ]


def test_json_has_no_nan_and_keeps_lists_and_structs(run: Run, aws: None) -> None:
    done = run("sql", "SELECT 'nan'::DOUBLE AS a, [1, 2] AS b, {'x': DATE '2024-01-02'} AS c", "--format", "json")
    assert json.loads(done.stdout) == [{"a": None, "b": [1, 2], "c": {"x": "2024-01-02"}}]


def test_no_rows_are_an_empty_array_and_a_header(run: Run, aws: None) -> None:
    assert json.loads(run("sql", "SELECT symbol FROM price_by_date", "--format", "json").stdout) == []
    assert run("sql", "SELECT symbol FROM price_by_date", "--format", "csv").stdout == "symbol\n"


def test_csv_reads_back(run: Run, aws: None) -> None:
    done = run(
        "sql", "SELECT 'a,\"b\"' AS x, NULL AS y, 1 AS z UNION ALL SELECT 'line\nbreak', 'q', 2", "--format", "csv"
    )
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["x", "y", "z"],
        ['a,"b"', "", "1"],
        ["line\nbreak", "q", "2"],
    ]


def test_csv_and_json_hold_all_rows(run: Run, aws: None) -> None:
    statement = "SELECT range AS n FROM range(25000)"
    assert run("sql", statement, "--format", "csv").stdout.count("\n") == 25_001
    assert len(json.loads(run("sql", statement, "--format", "json").stdout)) == 25_000


def test_parameters_are_bound_and_never_sql(run: Run, prices: None) -> None:
    statement = "SELECT count(*) AS n FROM price_by_date WHERE symbol = ? AND date >= ? AND year = ? AND close < ?"

    def count(symbol: str) -> Any:
        values = [symbol, "2024-01-10", "2024", "10.5"]
        given = [part for value in values for part in ("--param", value)]
        return json.loads(run("sql", statement, *given, "--format", "json").stdout)

    assert count("AAPL") == [{"n": 5}]
    assert count("' OR 1=1 --") == [{"n": 0}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024", 2024),
        ("-5", -5),
        ("10.5", 10.5),
        ("2024-01-31", date(2024, 1, 31)),
        ("AAPL", "AAPL"),
        ("0700", "0700"),
        ("1E5", "1E5"),
        ("NaN", "NaN"),
        ("TRUE", "TRUE"),
        ("2024-02-31", "2024-02-31"),
        ('"700"', "700"),
        ('"', '"'),
        ("", ""),
    ],
)
def test_what_a_parameter_stands_for(text: str, value: object) -> None:
    found = value_of(text)
    assert (type(found), found) == (type(value), value)


def test_a_statement_can_come_from_stdin(run: Run, aws: None) -> None:
    assert json.loads(run("sql", "-", "--format", "json", stdin="SELECT 1 AS one;\n").stdout) == [{"one": 1}]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE price_by_date", "DROP is not allowed"),
        ("SELECT * FROM prices", "The tables are price_by_date"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("", "there is no statement"),
    ],
)
def test_what_is_refused_is_status_1_with_the_reason_and_no_traceback(
    run: Run, aws: None, statement: str, message: str
) -> None:
    done = run("sql", statement)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_cell_holds_is_neither_markup_nor_obeyed_by_a_terminal(run: Run, aws: None) -> None:
    done = run("sql", "SELECT '[bold]x[/bold]' || chr(27) || '[2J' AS \"[red]name\"")
    assert "[bold]x[/bold]\N{REPLACEMENT CHARACTER}[2J" in done.stdout
    assert "[red]name" in done.stdout
    assert "\x1b" not in done.stdout


def test_an_environment_without_a_lake_bucket_names_what_is_missing(
    run: Run, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_STAGING_BUCKET", "only-this-one")
    done = run("sql", "SELECT 1")
    assert done.exit_code == 1
    assert "STOCK_PIPELINE_LAKE_BUCKET" in done.stderr


def test_the_environment_is_left_as_it_was(run: Run, aws: None) -> None:
    before = dict(os.environ)
    run("sql", "SELECT 1")
    assert dict(os.environ) == before


@pytest.mark.parametrize(("columns", "in_blocks"), [(3, False), (12, True)])
def test_what_is_too_wide_for_a_terminal_is_shown_a_block_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, in_blocks: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for name, value in {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    show_rows(pa.table({f"column_{n}": [f"value {n} of a row", None] for n in range(columns)}))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("row 2 ") for line in lines) == in_blocks
    assert max(map(len, lines)) <= 80
    assert sum(f"value {columns - 1} of a row" in line for line in lines) == 1
    assert sum(line.count("null") for line in lines) == columns


# What a vendor's file may hold: escape sequences, control characters, marks that turn the direction of text.
ACTING = ["\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "a\u202eb", "a\u2066b", "a\u200fb", "a\u061cb", "\x00", "\x7f"]


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
@pytest.mark.parametrize("text", ACTING)
def test_no_text_acts_on_the_terminal(run: Run, aws: None, text: str, format_: str) -> None:
    codes = " || ".join(f"chr({ord(c)})" for c in text)
    done = run("sql", f"SELECT {codes} AS value", "--format", format_)
    assert done.exit_code == 0
    assert not {c for c in done.stdout if ord(c) < 32 and c != "\n"} | {
        c for c in text if ord(c) > 126 and c in done.stdout
    }
    if format_ == "json":
        assert json.loads(done.stdout) == [{"value": text}]


def test_no_name_of_a_column_acts_on_the_terminal(run: Run, aws: None) -> None:
    for format_ in ("table", "csv", "json"):
        assert "\x1b" not in run("sql", 'SELECT 1 AS "\x1b[31m=x"', "--format", format_).stdout


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "  =1", '=HYPERLINK("http://x")'])
def test_no_text_is_a_formula_to_a_spreadsheet(run: Run, aws: None, text: str) -> None:
    done = run("sql", f"SELECT ? AS value, {-1.5} AS number, -2 AS whole", "--param", f'"{text}"', "--format", "csv")
    assert list(csv.reader(io.StringIO(done.stdout)))[1] == [f"'{text}", "-1.5", "-2"]


@pytest.mark.parametrize("text", ["BRK-B", "a=b", "user@example.com", "", "1+1", "'=x"])
def test_other_texts_stay_as_they_are(run: Run, aws: None, text: str) -> None:
    done = run("sql", "SELECT ? AS value, 1 AS one", "--param", f'"{text}"', "--format", "csv")
    assert list(csv.reader(io.StringIO(done.stdout)))[1] == [text, "1"]
