"""What may import what: that each contract of pyproject.toml can fail, and what import-linter cannot say."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stock_pipeline

PACKAGE = Path(stock_pipeline.__file__).parent
PYPROJECT = PACKAGE.parent / "pyproject.toml"
HANDLERS = sorted((PACKAGE.parent / "lambdas").glob("*/handler.py"))
CONTRACTS = {
    contract["id"]: contract for contract in tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
}
PLANTED = [
    ("floors", "lake/merge.py", "import stock_pipeline.parse.symbols", "lake.merge -> stock_pipeline.parse"),
    ("floors", "cli/sql.py", "import stock_pipeline.orchestration", "cli.sql -> stock_pipeline.orchestration"),
    ("floors", "maintenance/rebuild.py", "import stock_pipeline.heavy.tasks", "rebuild -> stock_pipeline.heavy"),
    ("floors", "cellar/__init__.py", "", "stock_pipeline.cellar"),
    # Through another module, as well as at once.
    ("computing", "lake/hashing.py", "import boto3", "stock_pipeline.lake.hashing -> boto3"),
    ("computing", "parse/symbols.py", "import stock_pipeline.aws.sqs", "stock_pipeline.aws.sqs -> botocore"),
    ("dagster", "ingest/daily.py", "import dagster", "stock_pipeline.ingest.daily -> dagster"),
    ("dagster", "cli/sql.py", "def f():\n    from dagster._core import errors", "stock_pipeline.cli.sql -> dagster"),
    ("boto3", "cli/sql.py", "from botocore.config import Config", "stock_pipeline.cli.sql -> botocore"),
    ("functions", "simulate/rng.py", "import pandas", "stock_pipeline.simulate.rng -> pandas"),
    ("functions", "lake/hashing.py", "import stock_pipeline.query.duckdb_engine", "duckdb_engine -> duckdb"),
]  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("boundaries")
    shutil.copytree(PACKAGE, root / "stock_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PYPROJECT, root)
    return root


@pytest.mark.parametrize(("contract", "module", "code", "told"), PLANTED)
def test_a_contract_breaks_for_an_import_that_it_forbids(
    copied: Path, contract: str, module: str, code: str, told: str
) -> None:
    path = copied / "stock_pipeline" / module
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{code}\n")
    try:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo", "--contract", contract],
            cwd=copied, env={"PYTHONPATH": str(copied), "COLUMNS": "300"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert told in done.stdout


def test_each_contract_has_an_import_that_breaks_it() -> None:
    assert {contract for contract, *_ in PLANTED} == set(CONTRACTS)


def test_the_contract_of_the_functions_names_all_that_their_handlers_import() -> None:
    imported = {
        node.module
        for handler in HANDLERS
        for node in ast.walk(ast.parse(handler.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stock_pipeline")
    }
    assert set(CONTRACTS["functions"]["source_modules"]) == imported


def test_only_the_store_calls_s3_for_data() -> None:
    """Deploying uploads code, which is not data."""
    others = {m for m in PACKAGE.rglob("*.py") if m.relative_to(PACKAGE).parts[0] not in ("local", "deploy")}
    callers = [m for m in others if "get_object(" in m.read_text() or "put_object(" in m.read_text()]
    assert [m.relative_to(PACKAGE).as_posix() for m in callers] == ["aws/s3.py"]


def test_the_functions_start_without_what_is_heavy() -> None:
    """In an interpreter of its own: pyarrow, say, imports pandas by itself where that is installed and asked for."""
    modules, heavy = CONTRACTS["functions"]["source_modules"], CONTRACTS["functions"]["forbidden_modules"]
    code = f"import sys, {', '.join(modules)}\nprint([m for m in {heavy!r} if m in sys.modules], len(sys.modules) > 50)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] True"


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; a = set(sys.modules); import stock_pipeline; print(sorted(set(sys.modules) - a))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['stock_pipeline']"
