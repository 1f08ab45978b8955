"""What people import: that `__all__` lists it, and that a type checker sees what it returns."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stock_pipeline

PACKAGE = Path(stock_pipeline.__file__).parent
ROOT = PACKAGE.parent
PUBLIC = ["errors", "extras", "query", "reasons", "receipts", "schemas", "settings", "table"]
HANDED_ON = {"schemas": ("reasons", "table"), "query": ("query.engines",)}
"""The tables are told with what they are made of, and the readers with `sql`: these modules' names can be imported from
there, too.
"""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]


def defined(path: Path) -> set[str]:
    """The public names that a module defines itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("name", PUBLIC)
def test_all_lists_every_public_name_and_no_other(name: str) -> None:
    module = importlib.import_module(f"stock_pipeline.{name}")
    others = [importlib.import_module(f"stock_pipeline.{other}") for other in HANDED_ON.get(name, ())]
    assert set(module.__all__) == defined(Path(str(module.__file__))).union(*(other.__all__ for other in others))
    assert len(module.__all__) == len(set(module.__all__))


def test_what_the_docs_import_is_public() -> None:
    imported = {
        (module, name.split(" as ")[0].strip())
        for page in PAGES
        for module, names in re.findall(r"from (stock_pipeline[\w.]*) import ([\w, ]+)", page.read_text())
        for name in names.split(",")
    }
    assert imported
    assert [(m, n) for m, n in imported if n not in getattr(importlib.import_module(m), "__all__", [])] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("reader", ["read_prices", "read_ticks", "latest_prices"])
def test_a_type_checker_knows_what_a_reader_returns(reader: str, tmp_path: Path) -> None:
    """pyarrow has no types of its own: its table shows as Any, which a DataFrame's methods would not."""
    code = f"""
from stock_pipeline.query import {reader}
def ask(either: bool) -> None:
    reveal_type({reader}("AAPL"))
    reveal_type({reader}("AAPL", arrow=False))
    reveal_type({reader}("AAPL", arrow=True))
    reveal_type({reader}("AAPL", arrow=either))
    {reader}("AAPL", arrow="yes")
"""
    script = tmp_path / "asked.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(script)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = re.findall(r'asked\.py:(\d+): note: Revealed type is "([^"]*)"', done.stdout)
    assert told == [
        ("4", "pandas.core.frame.DataFrame"),
        ("5", "pandas.core.frame.DataFrame"),
        ("6", "Any"),
        ("7", "pandas.core.frame.DataFrame | Any"),
    ], done.stdout
    assert re.search(r"asked\.py:8: error: No overload variant", done.stdout)
