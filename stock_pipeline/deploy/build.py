"""Builds a function's package: `python -m stock_pipeline.deploy.build FUNCTION FOLDER [--target x86_64|arm64|host]`.

`sam build` calls this through lambdas/Makefile for each function. The target `host` is for the local AWS, which runs
functions on this machine's own Python.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import zipfile
from pathlib import Path

from stock_pipeline.deploy.dependencies import (
    STAMP,
    TARGETS,
    Target,
    add_to_zip,
    folder_of,
    forget_stale,
    install,
    zipped,
)
from stock_pipeline.deploy.packages import code_of
from stock_pipeline.deploy.sources import CHECKOUT, functions, requirements_of
from stock_pipeline.errors import DeployError

CACHE = CHECKOUT / ".local" / "functions"
"""The folder that keeps the functions' dependencies between builds; the local AWS uses it too."""


def build(function: str, folder: Path, target: Target, cache: Path = CACHE) -> None:
    """Build a function's package in a folder; an old folder is deleted first. Raises DeployError."""
    if function not in functions():
        raise DeployError(f"there is no function {function}; there are {', '.join(functions())}")
    requirements = requirements_of(function)
    dependencies = cache / folder_of(requirements, target)
    install(requirements, target, dependencies)
    forget_stale(cache, target, {cache / folder_of(requirements_of(name), target) for name in functions()})
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(dependencies, folder, ignore=shutil.ignore_patterns("__pycache__"))  # the local AWS's functions ran
    (folder / STAMP).write_text(str(dependencies))  # for `pack`, which removes it
    for name, source in code_of(function).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, file)


def pack(folder: Path) -> Path:
    """Zip a package that `build` made; the zip is beside it. The same package gives the same bytes."""
    dependencies = Path((folder / STAMP).read_text())
    (folder / STAMP).unlink()
    file = folder.with_suffix(".zip")
    shutil.copyfile(zipped(dependencies), file)
    with zipfile.ZipFile(file, "a") as archive:
        packed = set(archive.namelist())
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = str(path.relative_to(folder))
            if name not in packed:
                add_to_zip(archive, name, path)
    return file


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m stock_pipeline.deploy.build", description=__doc__)
    arguments.add_argument("function", metavar="FUNCTION")
    arguments.add_argument("folder", metavar="FOLDER", type=Path)
    arguments.add_argument("--target", choices=TARGETS, default="x86_64")
    given = arguments.parse_args()
    try:
        build(given.function, given.folder, TARGETS[given.target])
    except DeployError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
