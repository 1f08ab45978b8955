"""The SAM CLI, in an environment of its own (.local/sam, which `make` makes): building and deploying the stack.

It pins its own botocore, and neither needs Docker nor sends telemetry here. Which AWS it deploys to is said by the
variables of AWS itself; AWS_ENDPOINT_URL makes that the local one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from stock_pipeline.deploy.dependencies import TARGETS
from stock_pipeline.deploy.sources import CHECKOUT, TEMPLATE
from stock_pipeline.errors import DeployError

SAM = CHECKOUT / ".local" / "sam" / "bin" / "sam"
BUILT = CHECKOUT / "build"

_SAME_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold: the same package makes the same bytes
_LEVEL = 4  # a third of the time of the usual 6, for 3 % more
_NOT_IN_AWS = "local"  # any key opens the local AWS
_LOOPBACK = ("http://127.0.0.1", "http://localhost")


def stack_of(stage: str) -> str:
    """The name of a stage's stack."""
    return f"stock-pipeline-{stage}"


def build(target: str, into: Path | None = None) -> Path:
    """Build and zip every function's package for a target; returns the template that names them. Raises DeployError."""
    folder = into or BUILT / target
    machine = "arm64" if target == "arm64" else "x86_64"
    environ = os.environ | {"PYTHON": sys.executable, "TARGET": TARGETS[target].name}
    command = ["build", "--template", str(TEMPLATE), "--build-dir", str(folder), "--parallel"]
    _sam([*command, "--parameter-overrides", f"Architecture={machine}"], environ, cwd=TEMPLATE.parent)
    template = folder / "template.yaml"
    text = template.read_text()
    for package in sorted(path for path in folder.iterdir() if path.is_dir()):
        _zip(package, package.with_suffix(".zip"))
        shutil.rmtree(package)
        text = text.replace(f"CodeUri: {package.name}\n", f"CodeUri: {package.name}.zip\n")
    template.write_text(text)
    return template


def deploy(built: Path, stage: str, parameters: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> None:
    """Create or update a stage's stack from a built template; SAM's own report goes to stdout.

    Parameters that are not given keep what the stack has, or their default. `environ` says which AWS. Raises
    DeployError; a stack that could not be made is rolled back.
    """
    stack = stack_of(stage)
    command = ["deploy", "--template-file", str(built), "--stack-name", stack, "--resolve-s3", "--s3-prefix", stack]
    command += ["--capabilities", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    given = {"Stage": stage, **parameters}
    command += ["--parameter-overrides", *(f'{name}="{value}"' for name, value in given.items())]
    _sam(command, environ, cwd=built.parent)


def parameters_of(text: str) -> dict[str, str]:
    """Parameters of the template as a shell would read them: `Seed=11 Symbols=AAPL,MSFT`. Raises DeployError."""
    given = {}
    try:
        for word in shlex.split(text):
            name, equals, value = word.partition("=")
            if not equals or not name.isidentifier():
                raise ValueError
            given[name] = value
    except ValueError:
        raise DeployError(f"the parameters are {text!r}; they take the form 'Name=value Other=value'") from None
    return given


def _sam(command: list[str], environ: Mapping[str, str], cwd: Path) -> None:
    if not SAM.is_file():
        raise DeployError(f"the SAM CLI is not there ({SAM}); `make sam` installs it")
    ours = {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "5", "__SAM_CLI_APP_DIR": str(SAM.parents[2] / "sam-home")}
    endpoint = environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith(_LOOPBACK):
        ours |= {"SAM_CLI_POLL_DELAY": "0.2"}
        ours |= {name: environ.get(name, _NOT_IN_AWS) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    try:
        done = subprocess.run([str(SAM), *command], env={**environ, **ours}, cwd=cwd, stdin=subprocess.DEVNULL)  # noqa: S603
    except OSError as error:
        raise DeployError(f"cannot run {SAM} ({error.strerror}); delete {SAM.parents[1]} and try again") from error
    if done.returncode:
        raise DeployError(f"`sam {command[0]}` failed; what it says above is why")


def _zip(folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), _SAME_TIME)
                entry.external_attr = 0o755 << 16  # readable for the user that Lambda runs functions as
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes(), compresslevel=_LEVEL)
