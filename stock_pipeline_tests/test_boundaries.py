"""What may import what: the shape of the package, held by a machine."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stock_pipeline

PACKAGE = Path(stock_pipeline.__file__).parent
COMPUTE = ("lake", "parse", "clean", "schemas", "simulate", "quality", "staging", "arrow", "trading_calendar")
DAGSTER = ("orchestration", "definitions", "defs")
PROCESSING = (
    "stock_pipeline.settings",
    "stock_pipeline.receipts",
    "stock_pipeline.ingest.daily",
    "stock_pipeline.aws.lambda_reporter",
)


def modules(*names: str) -> list[Path]:
    found = []
    for name in names:
        found += [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else (PACKAGE / name).rglob("*.py")
    return found


def imports(module: Path) -> set[str]:
    """The first two names of everything that a module imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[:2]) for name in found} | {name.split(".")[0] for name in found}


@pytest.mark.parametrize("module", modules(*COMPUTE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_what_computes_does_no_input_or_output(module: Path) -> None:
    assert not imports(module) & {"boto3", "botocore", "dagster", "dagster_aws", "stock_pipeline.aws"}


def test_only_the_orchestration_knows_dagster() -> None:
    allowed = set(modules(*DAGSTER))
    others = [m for m in PACKAGE.rglob("*.py") if m not in allowed]
    assert len(others) > 10
    assert [m.name for m in others if imports(m) & {"dagster", "dagster_aws", "stock_pipeline.orchestration"}] == []


def test_only_the_lake_calls_s3_for_data() -> None:
    """Deploying to the local AWS uploads code, which is not data."""
    others = set(PACKAGE.rglob("*.py")) - set((PACKAGE / "local").rglob("*.py"))
    callers = [m for m in others if "get_object(" in m.read_text() or "put_object(" in m.read_text()]
    assert [m.relative_to(PACKAGE).as_posix() for m in callers] == ["aws/s3.py"]


def test_the_processing_functions_start_without_what_is_heavy() -> None:
    """In an interpreter of its own, as pandas is installed here and would be imported silently."""
    heavy = ("dagster", "pandas", "duckdb", "awswrangler", "exchange_calendars", "rich", "typer")
    code = (
        f"import sys, {', '.join(PROCESSING)}\nprint([m for m in {heavy!r} if m in sys.modules], len(sys.modules) > 50)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] True"


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; a = set(sys.modules); import stock_pipeline; print(sorted(set(sys.modules) - a))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['stock_pipeline']"
