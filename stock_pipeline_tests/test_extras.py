"""The base works without the extras, and says which one to install where it needs one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import stock_pipeline
from stock_pipeline.extras import EXTRAS

PACKAGE = Path(stock_pipeline.__file__).parent
DECLARED = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# Dagster's own room; the others run only where their extra has been asked for before.
OF_EXTRAS = ("orchestration", "definitions", "local.gateway", "deploy.template", "board.app", "board.server")
ALL = sorted({name for names in EXTRAS.values() for name in names})

_WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ALL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {ALL!r} else found(name, package)
"""
REMEDY = "pip install 'stock-pipeline[local]'"


def without_extras(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that finds nothing of the extras, in a home where no local AWS runs."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "STOCK_PIPELINE_"))}
    environ = kept | {"STOCK_PIPELINE_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT + code], env=environ, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_packages_of_the_extra_are_those_declared(extra: str) -> None:
    distributions = packages_distributions()
    ours = {distributions[name][0].lower().replace("_", "-") for name in EXTRAS[extra]}
    included = (extra, "dagster") if "stock-pipeline[dagster]" in DECLARED[extra] else (extra,)
    declared = {name.split(">=")[0] for each in included for name in DECLARED[each]}
    # typer, of the base, brings pydantic, and Dagster brings SQLAlchemy
    assert ours == declared - {"stock-pipeline[dagster]", "pydantic", "sqlalchemy"}


def test_all_but_the_rooms_of_the_extras_is_imported_without_them(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.stem != "__main__"
    ]
    base = [name for name in names if not name.removeprefix("stock_pipeline.").startswith(OF_EXTRAS)]
    assert len(base) > 100
    done = without_extras(f"import importlib\nfor name in {base!r}: importlib.import_module(name)", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    ["dev", "demo --exit", 'sql "SELECT 1"', "ingest AAPL.csv", "stream", "board"],
)
def test_a_command_that_needs_an_extra_says_how_to_install_it(command: str, tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text("Date,Close\n2024-01-02,1\n")
    code = f"import os; os.chdir({str(tmp_path)!r})\nsys.argv[1:] = {shlex.split(command)!r}\n"
    done = without_extras(code + "from stock_pipeline.__main__ import main; main()", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert REMEDY.replace("local", "board" if command == "board" else "local") in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_doctor_works_without_the_extras(tmp_path: Path) -> None:
    code = "sys.argv[1:] = ['doctor', '--help']\nfrom stock_pipeline.__main__ import main; main()"
    assert "Examples" in without_extras(code, tmp_path).stdout


def test_a_reader_without_tables_says_how_to_get_some(tmp_path: Path) -> None:
    code = (
        "from stock_pipeline.query import read_prices\ntry: read_prices('AAPL')\nexcept Exception as e: print(repr(e))"
    )
    done = without_extras(code, tmp_path)
    assert done.stdout.startswith("QueryError(")
    assert "`stock-pipeline dev`" in done.stdout


@pytest.mark.parametrize("module", ["stock_pipeline.local", "stock_pipeline.deploy build"])
def test_what_make_runs_says_so_too(module: str, tmp_path: Path) -> None:
    name, *arguments = module.split()
    code = f"import runpy; sys.argv[1:] = {arguments!r}; runpy.run_module({name!r}, run_name='__main__')"
    done = without_extras(code, tmp_path)
    assert done.returncode == 1
    assert REMEDY in done.stderr
    assert "Traceback" not in done.stderr
