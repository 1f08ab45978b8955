"""What a function's package holds: its own code, what that imports of ours, and nothing else."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from stock_pipeline.deploy.packages import function_zip, modules_of
from stock_pipeline.deploy.sources import functions


def names(function: str) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(function_zip(function))).namelist())


@pytest.mark.parametrize("function", functions())
def test_a_package_has_the_handler_and_no_part_of_the_workbench(function: str) -> None:
    found = names(function)
    assert {"handler.py", "stock_pipeline/__init__.py", "stock_pipeline/settings.py"} <= found
    for unwanted in ("orchestration", "local", "query", "cli.py", "definitions.py"):
        assert not [name for name in found if name.startswith(f"stock_pipeline/{unwanted}")]


@pytest.mark.parametrize(
    ("function", "has", "simulates"),
    [
        ("generate_stock_batch_data", "simulate/daily.py", True),
        ("process_batch_stock_data", "ingest/daily.py", False),
        ("write_records_to_stream", "producer/live.py", True),
        ("process_stock_stream_data", "ingest/ticks.py", False),
        ("reconcile_tables", "maintenance/reconcile.py", False),
    ],
)
def test_a_function_has_what_it_imports_and_no_more(function: str, has: str, simulates: bool) -> None:
    found = names(function)
    assert f"stock_pipeline/{has}" in found
    assert any("simulate" in name for name in found) == simulates
    assert any("lake" in name for name in found) == (function != "write_records_to_stream")


@pytest.mark.parametrize("function", functions())
def test_the_same_code_gives_the_same_bytes(function: str) -> None:
    assert function_zip(function) == function_zip(function)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import json", set()),
        ("import stock_pipeline.errors", {"__init__", "errors"}),
        ("from stock_pipeline import errors", {"__init__", "errors"}),
        ("from stock_pipeline.settings import MIB", {"__init__", "settings", "errors"}),
        ("def late():\n    from stock_pipeline.errors import FileRefused", {"__init__", "errors"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stock_pipeline.errors", set()),
        ("import stock_pipeline_tests.local_aws", set()),
    ],
)
def test_imports_are_followed(source: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(source)
    assert {path.stem for path in modules_of(tmp_path)} == expected
