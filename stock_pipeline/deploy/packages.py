"""The code of each Lambda function: its folder and the modules of stock_pipeline that it imports.

A function's other packages are in its requirements.txt, which `dependencies` installs. A zip of our own code is only a
few kilobytes.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from stock_pipeline.deploy.dependencies import add_to_zip
from stock_pipeline.deploy.sources import CHECKOUT, TEMPLATE

_PACKAGE = "stock_pipeline"


def code_of(function: str) -> dict[str, Path]:
    """A function's own code: the names of the files in its package and where each of them is."""
    folder = TEMPLATE.parent / function
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*.py")}
    files |= {str(path.relative_to(CHECKOUT)): path for path in modules_of(folder)}
    return dict(sorted(files.items()))


def function_zip(function: str) -> bytes:
    """A function's code as a deployment package without its dependencies; the same code gives the same bytes."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, path in code_of(function).items():
            add_to_zip(archive, name, path)
    return sink.getvalue()


def modules_of(folder: Path) -> list[Path]:
    """The files of stock_pipeline that the Python files of a folder import, directly or through one another."""
    found: set[Path] = set()
    waiting = list(folder.rglob("*.py"))
    while waiting:
        for name in _imports(waiting.pop()):
            new = set(_files_of(name)) - found
            found |= new
            waiting += new
    return sorted(found)


def _imports(file: Path) -> Iterator[str]:
    """Every dotted name below stock_pipeline that a file imports when it runs."""
    statements: list[ast.AST] = [ast.parse(file.read_bytes())]
    while statements:
        statement = statements.pop()
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        else:
            names = []
            statements += [] if _is_for_types(statement) else ast.iter_child_nodes(statement)
        yield from (name for name in names if name.split(".")[0] == _PACKAGE)


def _is_for_types(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.If) and isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    )


def _files_of(name: str) -> Iterator[Path]:
    """The files that importing a dotted name runs: every package on the way, and the module if it names one."""
    path = CHECKOUT
    for part in name.split("."):
        path = path / part
        if path.is_dir():
            if (path / "__init__.py").is_file():
                yield path / "__init__.py"
        elif path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")
            return
