"""What a function imports where only its own package and requirements are: the interpreter that runs it locally."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from stock_pipeline.deploy.packages import function_zip
from stock_pipeline.deploy.sources import CHECKOUT, functions
from stock_pipeline.local import LocalFolders, ensure_environment
from stock_pipeline.local.environment import dependencies_of

pytestmark = pytest.mark.e2e

LIST_MODULES = "import json, sys, handler; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def imported(function: str, folder: Path) -> set[str]:
    """The top-level modules that are loaded once a function's handler is."""
    folders = LocalFolders(CHECKOUT)
    ensure_environment(CHECKOUT)
    zipfile.ZipFile(io.BytesIO(function_zip(function))).extractall(folder)
    environment = {
        "PYTHONPATH": f"{folder}:{dependencies_of(function, folders)}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "STOCK_PIPELINE_STAGING_BUCKET": "staging",
        "STOCK_PIPELINE_LAKE_BUCKET": "lake",
        "STOCK_PIPELINE_STREAM_NAME": "stream",
    }
    command = [str(folders.python), "-c", LIST_MODULES]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("function", functions())
def test_a_function_starts_with_what_its_package_holds(function: str, tmp_path: Path) -> None:
    found = imported(function, tmp_path)
    assert {"stock_pipeline", "pyarrow", "aws_lambda_powertools"} <= found
    assert not found & {"dagster", "pandas", "duckdb", "awswrangler", "ministack", "exchange_calendars"}
