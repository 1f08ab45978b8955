"""Installs the functions' dependencies for the platform that they run on, and removes what never runs there.

Each hash-pinned requirement file is installed once per target and kept. The patterns below are removed afterwards:
tests, headers, sources of extension modules, and the parts of pyarrow, numpy and Powertools that no function uses.
pyarrow's libraries for Flight and S3 alone are a fifth of a package.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stock_pipeline.errors import DeployError

LAMBDA_PYTHON = "3.13"
"""The Python version of the functions in AWS; a test compares it with the template's Runtime."""

STAMP = ".installed"
"""The file that marks a complete installation."""

_LOG_LINES = 15
_SAME_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip
_LEVEL = 4  # of compression: takes a third of the time of the usual 6, for 3 % more bytes
# These variables would make pip, or the target's interpreter, use other settings or folders.
_NOT_FOR_PIP = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON"}

# Removed anywhere in a package. The metadata (*.dist-info) stays: it has versions and licences.
_NEVER_RUN = (
    "__pycache__",
    "tests",
    "bin",
    "include",
    "*.pyi",
    "*.pyx",
    "*.pxd",
    "*.pxi",
    "*.h",
    "*.hpp",
    "*.a",
    "*.f90",
)
# Removed from single packages. Each is a pattern below the package's folder.
_UNREACHED = {
    "pyarrow": (
        # Flight, cloud file systems, HDFS, ORC: not used, because boto3 reads and writes the objects, as Parquet.
        # (Substrait is not used either, but a library that everything needs is linked to it.)
        *("*flight*", "*_s3*", "*_gcsfs*", "*_azurefs*", "*_hdfs*", "*orc*", "*_pyarrow_cpp_tests*", "src"),
        # Each library has three names; other libraries are linked to libx.so.<version>.
        *("libarrow*.so", "libparquet*.so", "*.so.*.*.*"),
    ),
    "numpy": ("f2py", "distutils", "_pyinstaller", "_core/lib", "_core/_simd.*"),
    "aws_lambda_powertools": ("event_handler",),
}


@dataclass(frozen=True)
class Target:
    """The platform that functions run on: the name of a processor (or `host`, this machine), and pip's options."""

    name: str
    python: str
    machine: str | None = None

    @property
    def pip_options(self) -> list[str]:
        if self.machine is None:
            return []
        # pip compares the packages' Requires-Python with the interpreter that it runs on, which may be another one.
        options = ["--ignore-requires-python", "--implementation", "cp", "--python-version", self.python]
        # The wheel platforms that Amazon Linux 2023 can run. pip does not derive one from another, so all are listed.
        for tag in ("2_34", "2_28", "2_27", "2_26", "2_24", "2_17"):
            options += ["--platform", f"manylinux_{tag}_{self.machine}"]
        return [*options, "--platform", f"manylinux2014_{self.machine}"]

    @property
    def markers(self) -> dict[str, str]:
        """The values for the markers of a requirement file."""
        from packaging.markers import default_environment

        here = {name: str(value) for name, value in default_environment().items()}
        if self.machine is None:
            return here
        there = {"python_version": self.python, "python_full_version": f"{self.python}.0", "sys_platform": "linux"}
        return here | there | {"platform_system": "Linux", "os_name": "posix", "platform_machine": self.machine}


HOST = Target("host", f"{sys.version_info.major}.{sys.version_info.minor}")
TARGETS: Mapping[str, Target] = {
    "x86_64": Target("x86_64", LAMBDA_PYTHON, "x86_64"),
    "arm64": Target("arm64", LAMBDA_PYTHON, "aarch64"),
    "host": HOST,
}


def folder_of(requirements: Path, target: Target) -> str:
    """The name of an installation's folder: the target, and a hash of the requirement file and the Python version."""
    try:
        content = requirements.read_bytes()
    except OSError as error:
        raise DeployError(f"cannot read {requirements} ({error.strerror}); is the source tree whole?") from error
    return f"{target.name}-{hashlib.sha256(content + target.python.encode() + _RULES).hexdigest()[:16]}"


_RULES = repr((_NEVER_RUN, _UNREACHED)).encode()


def is_installed(folder: Path) -> bool:
    """Whether an installation is complete."""
    return (folder / STAMP).is_file()


def install(requirements: Path, target: Target, folder: Path, python: Path | str = sys.executable) -> None:
    """Install a requirement file for a target into its own folder, unless it is there; remove what never runs.

    `python` is an interpreter with pip; for the host, it must have the target's version. Safe to call from several
    processes at once. Raises DeployError, with the end of pip's output.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if is_installed(folder):
            return
        shutil.rmtree(folder, ignore_errors=True)
        wanted = folder.with_suffix(".txt")
        wanted.write_text("\n".join(applying(requirements.read_text(), target)) + "\n")
        quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--no-compile")
        locked = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
        run([str(python), "-m", "pip", "install", *quiet, *locked, *target.pip_options, "--target", str(folder),
             "--requirement", str(wanted)])  # fmt: skip
        folder.mkdir(exist_ok=True)  # there may be nothing to install
        prune(folder)
        (folder / STAMP).touch()
        wanted.unlink()


def zipped(folder: Path) -> Path:
    """An installation as a zip, made once; the same installation gives the same bytes."""
    file = folder.with_suffix(".zip")
    with _alone(folder.with_suffix(".lock")):
        if not file.is_file():
            draft = folder.with_suffix(".draft")
            with zipfile.ZipFile(draft, "w") as archive:
                for path in sorted(folder.rglob("*")):
                    if path.is_file() and path.name != STAMP and path.suffix != ".pyc":
                        add_to_zip(archive, str(path.relative_to(folder)), path)
            draft.replace(file)
    return file


def add_to_zip(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Add a file to a function's package: without its time, and readable for the user that Lambda runs functions as."""
    entry = zipfile.ZipInfo(name, _SAME_TIME)
    entry.external_attr = 0o755 << 16
    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, _LEVEL)


def forget_stale(folder: Path, target: Target, wanted: set[Path]) -> None:
    """Remove the installations for a target that are not needed any more."""
    kept = {path.name for path in wanted}
    for stale in (path for path in folder.glob(f"{target.name}-*") if path.name.split(".")[0] not in kept):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def applying(requirements: str, target: Target) -> Iterator[str]:
    """The requirements of a file that apply to a target. (pip would use the markers of its own interpreter.)"""
    from packaging.markers import Marker

    for requirement in requirements.replace("\\\n", " ").splitlines():
        text = " ".join(requirement.split(" #")[0].split())
        name, _, rest = text.partition(" ; ")
        if not text or text.startswith("#"):
            continue
        marker, _, hashes = rest.partition(" --hash")
        if rest and not Marker(marker).evaluate(target.markers):
            continue
        yield f"{name} --hash{hashes}" if rest else text


def prune(folder: Path) -> None:
    """Remove from installed packages what never runs in a function."""
    found = {path for pattern in _NEVER_RUN for path in folder.rglob(pattern) if ".dist-info" not in str(path)}
    found |= {path for package, patterns in _UNREACHED.items() for p in patterns for path in (folder / package).glob(p)}
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def run(command: list[str]) -> None:
    """Run a command without the user's pip settings. Raises DeployError, with the end of its output."""
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_PIP}
    done = subprocess.run(  # noqa: S603 - the callers' own commands
        command, env=environ, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-_LOG_LINES:])
        raise DeployError(f"installing packages failed; is the package index reachable?\n{said}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
