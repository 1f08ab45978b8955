"""The functions' packages as `make build` makes them, once for all tests of a process."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from stock_pipeline.deploy import sam
from stock_pipeline_tests.support.local_aws import installed

__all__ = ["installed"]

Packages = Callable[[str], dict[str, Path]]
"""By target: the folders with what each function's package holds."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The built template for a target, beside its packages."""
    return cache(lambda target: sam.build(target, tmp_path_factory.mktemp(f"built-{target}")))


@pytest.fixture(scope="session")
def packages(built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Packages:
    @cache
    def unzipped(target: str) -> dict[str, Path]:
        folders = {}
        for package in sorted(built(target).parent.glob("*.zip")):
            folder = tmp_path_factory.mktemp(f"{target}-{package.stem}")
            with zipfile.ZipFile(package) as archive:
                archive.extractall(folder)
            folders[package.stem] = folder
        return folders

    return unzipped


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Lambda runtime brings beside the standard library: boto3 with what it needs, and no more."""
    folder = tmp_path_factory.mktemp("runtime")
    site = Path(pytest.__file__).parents[1]
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six.py"):
        source = site / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copyfile(source, folder / name)
    return folder
