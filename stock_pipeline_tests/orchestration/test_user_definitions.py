"""A user's own definitions, put into the folder `defs/` of a copy of the package, beside the pipeline's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import dagster as dg
import pytest

import stock_pipeline
from stock_pipeline.definitions import defs
from stock_pipeline.orchestration.user_definitions import with_user_definitions

PACKAGE = Path(stock_pipeline.__file__).parent
LIST = """
import json, sys
import dagster
from stock_pipeline.definitions import defs
graph = defs.resolve_asset_graph()
print(json.dumps({
    "file": sys.modules["stock_pipeline"].__file__,
    "assets": sorted(key.to_user_string() for key in graph.get_all_asset_keys()),
    "upstream": {key.to_user_string(): sorted(k.to_user_string() for k in graph.get(key).parent_keys)
                 for key in graph.get_all_asset_keys()},
    "checks": sorted(key.name for key in graph.asset_check_keys),
    "jobs": sorted(job.name for job in defs.jobs or ()),
    "schedules": sorted(schedule.name for schedule in defs.schedules or ()),
    "executor": defs.executor is dagster.in_process_executor,
}))
"""
ADDED = """
import dagster as dg
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.batch.jobs import ingest_daily_prices
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.assets import stream_prices_history

@dg.asset(deps=[price_by_date, stream_prices_history])
def mine(buckets: Buckets) -> None: ...
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package; returns its folder of a user's definitions."""
    shutil.copytree(PACKAGE, tmp_path / "stock_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "stock_pipeline" / "defs"


def listed(folder: Path) -> dict[str, object]:
    """What the copy's definitions hold, in a Python of its own, with the network refused."""
    run = loaded(folder)
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout)
    assert str(found.pop("file")).startswith(str(folder.parent))
    return found


def loaded(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder.parents[1]), "HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", LIST], env=environment, cwd=folder, capture_output=True, text=True)


def example() -> str:
    readme = (PACKAGE / "defs" / "README.md").read_text()
    return readme.partition("```python\n")[2].partition("```")[0]


def test_the_folder_is_shipped_empty() -> None:
    assert sorted(path.name for path in (PACKAGE / "defs").iterdir() if path.name != "__pycache__") == [
        "README.md",
        "__init__.py",
    ]
    ours = dg.Definitions()
    assert with_user_definitions(ours) is ours, "nothing is merged where there is nothing"


def test_the_example_of_its_readme_is_found_beside_ours(copy: Path) -> None:
    before = listed(copy)
    (copy / "returns.py").write_text(example())
    after = listed(copy)
    assert set(after["assets"]) - set(before["assets"]) == {"daily_returns"}  # type: ignore[call-overload]
    assert after["upstream"]["daily_returns"] == ["price_by_date"]  # type: ignore[index]
    assert set(after["checks"]) - set(before["checks"]) == {"has_rows"}  # type: ignore[call-overload]
    assert after["jobs"] == before["jobs"]
    assert after["executor"] is True


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("added.py", ADDED),
        ("deep/er/added.py", ADDED),
        ("added.py", ADDED + "\ndefs = dg.Definitions(assets=[mine])\n"),
        ("added.py", ADDED + "\n@dg.definitions\ndef made() -> dg.Definitions: return dg.Definitions(assets=[mine])\n"),
    ],
    ids=["module", "subfolder", "Definitions", "@definitions"],
)
def test_what_a_module_imports_from_the_pipeline_is_not_defined_twice(copy: Path, module: str, text: str) -> None:
    file = copy / module
    file.parent.mkdir(parents=True, exist_ok=True)
    for folder in file.relative_to(copy).parents[:-1]:
        (copy / folder / "__init__.py").touch()
    file.write_text(text)
    found = listed(copy)
    assert found["upstream"]["mine"] == ["price_by_date", "stream_prices_history"]  # type: ignore[index]
    assert len(found["assets"]) == len(defs.resolve_asset_graph().get_all_asset_keys()) + 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        ("taken.py", "import dagster as dg\n@dg.asset\ndef price_by_date() -> None: ...\n", "price_by_date"),
        ("broken.py", "import no_such_module\n", "no_such_module"),
        ("mine/defs.yaml", "type: a.Component\n", "build_defs_for_component"),
    ],
)
def test_what_cannot_be_loaded_is_told(copy: Path, module: str, text: str, said: str) -> None:
    (copy / module).parent.mkdir(exist_ok=True)
    (copy / module).write_text(dedent(text))
    run = loaded(copy)
    assert run.returncode
    assert said in run.stderr.splitlines()[-1]
