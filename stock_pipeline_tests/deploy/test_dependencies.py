"""What is installed for where, and what is taken out of it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from stock_pipeline.deploy import dependencies
from stock_pipeline.deploy.dependencies import (
    HOST,
    TARGETS,
    applying,
    folder_of,
    forget_stale,
    install,
    is_installed,
    prune,
    zipped,
)
from stock_pipeline.errors import DeployError

LOCK = r"""# a comment
numpy==2.4.6 ; python_full_version < '3.12' \
    --hash=sha256:aa \
    --hash=sha256:bb
    # via pandas
numpy==2.5.5 ; python_full_version >= '3.12' \
    --hash=sha256:cc
tzdata==2026.6 ; sys_platform == 'win32' \
    --hash=sha256:dd
six==1.17.0 \
    --hash=sha256:ee
"""


@pytest.mark.parametrize("target", ["x86_64", "arm64"])
def test_markers_are_judged_by_where_functions_run(target: str) -> None:
    names = [line.split(" --hash")[0] for line in applying(LOCK, TARGETS[target])]
    assert names == ["numpy==2.5.5", "six==1.17.0"]


def test_every_hash_stays() -> None:
    (numpy, _) = applying(LOCK, TARGETS["arm64"])
    assert numpy.split() == ["numpy==2.5.5", "--hash=sha256:cc"]


def test_the_host_is_judged_by_its_own_python() -> None:
    (numpy, *_) = applying(LOCK, HOST)
    assert numpy.startswith("numpy==2.4.6" if HOST.python == "3.11" else "numpy==2.5.5")


def test_tests_headers_and_what_is_never_reached_go(tmp_path: Path) -> None:
    stay = ["pyarrow/lib.so", "pyarrow/libarrow.so.2600", "numpy/core.py", "numpy-2.dist-info/licenses/tests/LICENSE"]
    go = ["numpy/tests/test_a.py", "pyarrow/include/a.h", "pyarrow/libarrow_flight.so.2600", "pyarrow/libarrow.so"]
    go += [
        "pyarrow/libarrow.so.2600.1.0",
        "numpy/__pycache__/a.pyc",
        "numpy/core.pyi",
        "aws_lambda_powertools/event_handler/a.py",
    ]
    for name in stay + go:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    prune(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(stay)


def test_an_installation_is_named_after_all_that_it_depends_on(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("six==1.17.0")
    names = {folder_of(file, target) for target in TARGETS.values()}
    file.write_text("six==1.16.0")
    assert len(names | {folder_of(file, target) for target in TARGETS.values()}) == 6
    with pytest.raises(DeployError, match="is the source tree whole"):
        folder_of(tmp_path / "missing.txt", HOST)


def test_what_cannot_be_installed_is_told_and_not_taken_for_whole(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("--no-index\nsurely-not-a-package==1.0 --hash=sha256:" + "0" * 64)
    with pytest.raises(DeployError, match=r"(?s)package index reachable.*surely-not-a-package"):
        install(file, HOST, tmp_path / "host-1")
    assert not is_installed(tmp_path / "host-1")


def test_the_same_installation_gives_the_same_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("--no-index\n")
    made = []
    for name in ("host-1", "host-2"):
        install(file, HOST, tmp_path / name)
        (tmp_path / name / "package").mkdir()
        (tmp_path / name / "package" / "a.py").write_text("1")
        (tmp_path / name / "package" / "__pycache__").mkdir()
        (tmp_path / name / "package" / "__pycache__" / "a.pyc").write_text("left by a run")
        made.append(zipped(tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert zipfile.ZipFile(tmp_path / "host-1.zip").namelist() == ["package/a.py"]
    monkeypatch.setattr(dependencies, "add_to_zip", lambda *_: pytest.fail("zipped again"))
    zipped(tmp_path / "host-1")

    forget_stale(tmp_path, HOST, {tmp_path / "host-1"})
    assert sorted(path.name for path in tmp_path.glob("host-*")) == ["host-1", "host-1.lock", "host-1.zip"]
