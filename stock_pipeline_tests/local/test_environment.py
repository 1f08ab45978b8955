"""Installing what the local AWS runs on: once, again when the requirements change, with pip's own words on failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from stock_pipeline.errors import LocalAwsError
from stock_pipeline.local import LocalFolders, ensure_environment, environment

pytestmark = pytest.mark.live


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A requirement file that asks for nothing, in the place of the emulator's; there are no functions."""
    file = tmp_path / "requirements.txt"
    file.write_text("--no-index\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", file)
    monkeypatch.setattr(environment, "functions", list)
    return file


def test_it_installs_once_and_again_when_the_requirements_change(
    tmp_path: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    requirements.write_text("--no-index\nsurely-not-a-package==1.0 --hash=sha256:" + "0" * 64)
    with pytest.raises(
        LocalAwsError, match=r"(?s)the local AWS cannot run: installing packages failed.*surely-not-a-package"
    ):
        ensure_environment(tmp_path, said.append)

    requirements.write_text("--no-index\n")
    folders = ensure_environment(tmp_path, said.append)  # half an installation was not taken for a whole one
    assert folders.python.exists()
    assert len(said) == 2
    ensure_environment(tmp_path, said.append)
    assert len(said) == 2

    requirements.write_text("--no-index\n# changed\n")
    monkeypatch.setattr(environment, "run", lambda _: None)
    folders.venv.joinpath("marker").touch()
    with pytest.raises(FileNotFoundError):  # the old one is gone, and nothing was installed in its place
        ensure_environment(tmp_path, said.append)
    assert len(said) == 3


def test_what_is_installed_for_functions_follows_their_requirements(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = LocalFolders(installed)
    processing = environment.dependencies_of("process_batch_stock_data", folders)
    assert (processing / "pyarrow").is_dir()
    assert not (processing / "pandas").exists()
    assert not (processing / "boto3").exists()
    monkeypatch.setattr(environment, "requirements_of", lambda _: tmp_path / "other.txt")
    (tmp_path / "other.txt").write_text("pyarrow==1.0\n")
    assert environment.dependencies_of("process_batch_stock_data", folders) != processing


def test_a_folder_that_cannot_be_written_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalAwsError, match="STOCK_PIPELINE_HOME"):
        ensure_environment(tmp_path / "file")
