"""Where inputs, environments and results are, and how large a run is."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.measure import run
from stock_pipeline.deploy.template import load_template

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "bench"
PEERS = ROOT / ".local" / "bench-venv" / "bin" / "python"
OWN = sys.executable
"""The project's own environment: it makes inputs and checks results."""

FUNCTIONS = ROOT / ".local" / "venv" / "bin" / "python"
"""The interpreter on which the local AWS runs the functions. With their packages it is the same as deployed."""

_CODE = (
    "benchmarks/inputs.py",
    "stock_pipeline/simulate",
    "stock_pipeline/schemas.py",
    "stock_pipeline/lake/parquet.py",
)


NO_AWS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",  # opens nothing  # pragma: allowlist secret
}
"""Environment variables for making clients that never send a request."""

_FOLDER = """import json, sys
from stock_pipeline.local import LocalFolders
from stock_pipeline.local.environment import dependencies_of
from stock_pipeline.local.folders import CHECKOUT
print(json.dumps({"folder": str(dependencies_of(sys.argv[1], LocalFolders(CHECKOUT)))}))
"""


@cache
def packages_of(function: str) -> Path:
    """The folder with the third-party code of a function's package, as `make setup` has installed it."""
    return Path(run([OWN, "-c", _FOLDER, function], {"PYTHONPATH": str(ROOT)}).said["folder"])


def as_deployed(function: str) -> dict[str, str]:
    """The environment variables that make `FUNCTIONS` the same as deployed: only the content of a function's package
    can be imported (so no pandas), and the variables are those that the template gives to all functions.
    """
    given = load_template()["Globals"]["Function"]["Environment"]["Variables"]
    plain = {name: value for name, value in given.items() if isinstance(value, str)}
    return plain | {"PYTHONPATH": f"{ROOT}:{packages_of(function)}", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks: its size, its rounds and its folder of scratch data."""

    size: str
    rounds: int
    work: Path

    def pick(self, small: int, full: int) -> int:
        return small if self.size == "small" else full

    def made(self, name: str, make: str, *arguments: object) -> Path:
        """A folder of inputs, made once by `python -m benchmarks.inputs <make> <folder> <arguments>`."""
        folder = self.work / "inputs" / f"{name}-{'-'.join(map(str, arguments))}-{_code_version()}"
        if not folder.exists():
            making = folder.with_name(folder.name + ".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            run([OWN, "-m", "benchmarks.inputs", make, str(making), *map(str, arguments)], {"PYTHONPATH": str(ROOT)})
            making.rename(folder)
        return folder

    def fresh(self, name: str, template: Path | None = None) -> Callable[[], None]:
        """A function that makes the scratch folder `name` a fresh copy of a template again, or empty without one."""

        def prepare() -> None:
            folder = self.scratch(name)
            if folder.exists():
                # Out of the way, not removed: a file system that has just removed a thousand files takes far longer
                # to create the next ones, and the next way would pay for it.
                gone = self.work / "scratch" / "gone"
                gone.mkdir(exist_ok=True)
                folder.rename(gone / str(sum(1 for _ in gone.iterdir())))
            if template is None:
                folder.mkdir(parents=True)
            else:  # linked, not copied: no way writes into an existing file
                shutil.copytree(template, folder, copy_function=os.link)

        return prepare

    def scratch(self, name: str) -> Path:
        return self.work / "scratch" / name


def _code_version() -> str:
    """A hash that changes whenever the code that makes inputs changes."""
    digest = hashlib.sha256()
    for name in _CODE:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:8]
