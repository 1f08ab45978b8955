"""The command line on moto: buckets that the environment names, and a way to run a command and see all its output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.main import app
from stock_pipeline_tests.support.local_aws import Stack, emulator, installed, local_aws_env, new_stack

__all__ = ["emulator", "installed", "local_aws_env", "new_stack"]

Run = Callable[..., Result]
STAGING, LAKE = "staging-bucket", "lake-bucket"


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that names no AWS and no setting, with a home of its own."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "STOCK_PIPELINE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STOCK_PIPELINE_HOME", str(tmp_path / "home"))


@pytest.fixture
def aws(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two empty buckets, named by the environment; SQL by DuckDB."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        "AWS_DEFAULT_REGION": "us-east-1",
        "STOCK_PIPELINE_STAGING_BUCKET": STAGING,
        "STOCK_PIPELINE_LAKE_BUCKET": LAKE,
        "STOCK_PIPELINE_SQL_ENGINE": "duckdb",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        for bucket in (STAGING, LAKE):
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield


@pytest.fixture
def staging(aws: None) -> S3Store:
    return S3Store(STAGING)


@pytest.fixture
def lake(aws: None) -> S3Store:
    return S3Store(LAKE)


@pytest.fixture
def stack(no_aws: None, local_aws_env: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A deployed stack that the environment names, as it would one in AWS."""
    for name, value in local_aws_env.env.items():
        monkeypatch.setenv(name, value)
    return local_aws_env


@pytest.fixture
def run() -> Run:
    """`run("sql", "SELECT 1")` → its exit_code, stdout and stderr."""

    def invoke(*arguments: str | Path, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="stock-pipeline")

    return invoke


@pytest.fixture
def vendor_file(tmp_path: Path) -> Callable[..., Path]:
    """Makes a vendor's file: `vendor_file("AAPL.csv", ["2024-01-02,10,11,9,10.5,100"])`."""

    def make(name: str, rows: list[str], header: str = "Date,Open,High,Low,Close,Volume") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return make
