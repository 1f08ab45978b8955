"""No module and no function of the product is too long to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stock_pipeline

ROOT = Path(stock_pipeline.__file__).parents[1]
PRODUCT = sorted(path for folder in ("stock_pipeline", "lambdas") for path in (ROOT / folder).rglob("*.py"))
OF_A_MODULE, OF_A_FUNCTION = 300, 50


def too_long(name: str, code: str) -> Iterator[str]:
    """The module, when it is too long, and its functions that are: `lake/merge.py: merge`.

    A function is counted from its first statement: the options of a command, which come before that, are a list.
    """
    if len(code.splitlines()) > OF_A_MODULE:
        yield name
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0].lineno if name.startswith("stock_pipeline/cli/") else node.lineno
            if (node.end_lineno or first) - first >= OF_A_FUNCTION:
                yield f"{name}: {node.name}"


def test_nothing_is_longer_than_can_be_read_at_once() -> None:
    found = {long for path in PRODUCT for long in too_long(path.relative_to(ROOT).as_posix(), path.read_text())}
    assert len(PRODUCT) > 100
    assert found == set()


@pytest.mark.parametrize(("lines", "name", "long"), [
    (50, "stock_pipeline/a.py", False),
    (51, "stock_pipeline/a.py", True),
    (51, "stock_pipeline/cli/a.py", False),  # its definition is not counted
    (52, "stock_pipeline/cli/a.py", True),
])  # fmt: skip
def test_a_function_may_have_fifty_lines(lines: int, name: str, long: bool) -> None:
    code = "def f():\n" + "    g()\n" * (lines - 1)
    assert list(too_long(name, code)) == ([f"{name}: f"] if long else [])


@pytest.mark.parametrize(("lines", "long"), [(300, False), (301, True)])
def test_a_module_may_have_three_hundred_lines(lines: int, long: bool) -> None:
    assert list(too_long("lambdas/a.py", "a = 1\n" * lines)) == (["lambdas/a.py"] if long else [])
