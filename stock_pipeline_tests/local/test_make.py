"""The make targets that delete something, in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from stock_pipeline.local.folders import CHECKOUT


def test_cleaning_leaves_the_data_and_deleting_them_asks_first(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    kept, built = tmp_path / ".local" / "aws" / "object", tmp_path / ".local" / "venv" / "installed"
    for path in (kept, built):
        path.parent.mkdir(parents=True)
        path.touch()

    def make(target: str, answer: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        given = [f"{name}={value}" for name, value in ({"PYTHON": sys.executable} | variables).items()]
        return subprocess.run(
            ["make", "--no-print-directory", target, *given], cwd=tmp_path, input=answer, text=True, capture_output=True
        )  # fmt: skip

    assert make("clean").returncode == 0
    assert (kept.exists(), built.exists()) == (True, False)
    refused = make("clean-data", "no\n")
    assert refused.returncode != 0
    assert "nothing was deleted" in refused.stdout
    assert kept.exists()
    assert make("clean-data", "yes\n").returncode == 0
    assert not kept.exists()
