"""The notebook runs as it is on a fresh local AWS, and what it draws and says is so (make docs)."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from stock_pipeline.cli.main import app
from stock_pipeline_tests.docs.pages import ROOT
from stock_pipeline_tests.support.local_aws import Stack, emulator, installed, local_aws_env, new_stack

__all__ = ["emulator", "installed", "local_aws_env", "new_stack"]

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BARS_AND_TICKS = ROOT / "notebooks" / "daily_bars_and_ticks.ipynb"
MOST_BYTES = 20_000


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_what_it_printed(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    assert any(cell.cell_type == "code" for cell in cells)
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert notebook.stat().st_size < MOST_BYTES


@pytest.fixture
def stack(local_aws_env: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name in [name for name in os.environ if name.startswith(("AWS_", "STOCK_PIPELINE_"))]:
        monkeypatch.delenv(name)
    for name, value in local_aws_env.env.items():
        monkeypatch.setenv(name, value)
    return local_aws_env


def ready(notebook: Any) -> None:
    """Run the commands that its first cell asks for."""
    asked = [
        line.split()[1:] for line in notebook.cells[0].source.splitlines() if line.startswith("    stock-pipeline")
    ]
    assert len(asked) == 2
    for arguments in asked:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output


def outputs(notebook: Any, kind: str) -> list[str]:
    return [out.data[kind] for cell in notebook.cells for out in cell.get("outputs", []) if kind in out.get("data", {})]


@pytest.mark.docs
@pytest.mark.timeout(300)
def test_the_bars_and_the_ticks_are_drawn_and_agree(stack: Stack, tmp_path: Path) -> None:
    notebook = nbformat.read(BARS_AND_TICKS, as_version=4)
    ready(notebook)
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()

    pictures = outputs(notebook, "image/png")
    assert len(pictures) == 2
    for number, picture in enumerate(pictures):
        data = base64.b64decode(picture)
        (tmp_path / f"figure-{number}.png").write_bytes(data)
        pixels = matplotlib.image.imread(io.BytesIO(data))[:, :, :3]
        drawn = (pixels.min(axis=2) < 0.9).mean()
        assert 0.01 < drawn < 0.5, "neither empty nor blotted"
        assert len(np.unique((pixels * 8).astype(int).reshape(-1, 3), axis=0)) > 10

    text = "\n".join(outputs(notebook, "text/plain"))
    table = next(part for part in outputs(notebook, "text/plain") if "difference" in part)
    rows = {line.split()[0]: [float(cell) for cell in line.split()[1:]] for line in table.splitlines()[1:]}
    assert list(rows) == ["open", "high", "low", "close"]
    assert all(bar == ticks > 0 and difference == 0 for bar, ticks, difference in rows.values())
    assert "turnover_sum" in text
    assert "produced_at" in text


@pytest.mark.docs
@pytest.mark.timeout(300)
def test_without_the_data_the_notebook_says_what_to_run(stack: Stack) -> None:
    notebook = nbformat.read(BARS_AND_TICKS, as_version=4)
    NotebookClient(notebook, timeout=200, kernel_name="python3", allow_errors=True).execute()
    said = [out.get("evalue", "") for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("run the two commands above first" in text for text in said)
