"""Builds and deploys the stack with the SAM CLI, which has its own environment (.local/sam, made by `make sam`).

The SAM CLI pins its own botocore. It needs no Docker here and sends no telemetry. The variables of AWS say which AWS it
deploys to; AWS_ENDPOINT_URL can name the local one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stock_pipeline.deploy.build import pack
from stock_pipeline.deploy.dependencies import TARGETS
from stock_pipeline.deploy.sources import CHECKOUT, TEMPLATE
from stock_pipeline.deploy.stack import client_of, described, exists, stack_of
from stock_pipeline.errors import DeployError

SAM = CHECKOUT / ".local" / "sam" / "bin" / "sam"
BUILT = CHECKOUT / "build"

_LOOPBACK = ("http://127.0.0.1", "http://localhost")
_CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_LOG_LINES = 20


def build(target: str, into: Path | None = None) -> Path:
    """Build and zip every function's package for a target, and return the built template. Raises DeployError."""
    folder = into or BUILT / target
    machine = "arm64" if target == "arm64" else "x86_64"
    environ = os.environ | {"PYTHON": sys.executable, "TARGET": TARGETS[target].name}
    command = ["build", "--template", str(TEMPLATE), "--build-dir", str(folder), "--parallel"]
    _sam([*command, "--parameter-overrides", f"Architecture={machine}"], environ, TEMPLATE.parent, quiet=True)
    template = folder / "template.yaml"
    text = template.read_text()
    for package in sorted(path for path in folder.iterdir() if path.is_dir()):
        pack(package)
        shutil.rmtree(package)
        text = text.replace(f"CodeUri: {package.name}\n", f"CodeUri: {package.name}.zip\n")
    template.write_text(text)
    return template


def deploy(built: Path, stage: str, parameters: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> None:
    """Create or update a stage's stack from a built template. SAM's own output goes to stdout.

    Parameters that are not given keep the stack's values, or their defaults. The stack takes over buckets that an
    earlier stack of the stage left behind. `environ` says which AWS. Raises DeployError; then nothing has changed.
    """
    if not built.is_file():
        raise DeployError(f"there is no {built}; run `make build` first")
    stack, given = stack_of(stage), {"Stage": stage, **parameters}
    if described(stack, client_of("cloudformation", environ)) is None and (left := buckets_left(stage, environ)):
        print(f"taking over {' and '.join(left)}, which an earlier stack left behind", flush=True)  # noqa: T201
        _adopt(built, stack, given, environ)
        return
    command = ["deploy", "--template-file", str(built), "--stack-name", stack, "--resolve-s3", "--s3-prefix", stack]
    command += ["--capabilities", *_CAPABILITIES, "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    command += ["--no-progressbar", "--parameter-overrides", *(f'{name}="{value}"' for name, value in given.items())]
    _sam(command, environ, built.parent)


def buckets_left(stage: str, environ: Mapping[str, str]) -> list[str]:
    """The buckets of a stage that exist."""
    account = client_of("sts", environ).get_caller_identity()["Account"]
    names = [f"{stack_of(stage)}-{kind}-{account}" for kind in ("staging", "lake")]
    return [name for name in names if exists(name, client_of("s3", environ))]


def _adopt(built: Path, stack: str, parameters: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Create a stack that takes over existing buckets with its names. `sam deploy` cannot do that."""
    packaged = built.with_name("packaged.yaml")
    command = ["package", "--template-file", str(built), "--resolve-s3", "--s3-prefix", stack, "--no-progressbar"]
    _sam([*command, "--output-template-file", str(packaged)], environ, built.parent, quiet=True)
    cloudformation, s3 = client_of("cloudformation", environ), client_of("s3", environ)
    artifacts = artifacts_bucket(cloudformation)
    key = f"{stack}/packaged.yaml"
    s3.upload_file(str(packaged), artifacts, key)
    request: dict[str, Any] = {
        "StackName": stack,
        "ChangeSetName": f"adopt-{int(time.time())}",
        "ChangeSetType": "CREATE",
        "ImportExistingResources": True,
        "TemplateURL": f"{s3.meta.endpoint_url}/{artifacts}/{key}",
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        "Capabilities": _CAPABILITIES,
    }
    name = cloudformation.create_change_set(**request)["Id"]
    _wait(cloudformation, "change_set_create_complete", stack, ChangeSetName=name)
    cloudformation.execute_change_set(ChangeSetName=name)
    _wait(cloudformation, "stack_create_complete", stack, StackName=stack)


def artifacts_bucket(cloudformation: Any) -> str | None:
    """The bucket that SAM keeps packages in, if it has made one."""
    managed = described("aws-sam-cli-managed-default", cloudformation)
    outputs = (managed or {}).get("Outputs", [])
    return next((output["OutputValue"] for output in outputs if output["OutputKey"] == "SourceBucket"), None)


def _wait(cloudformation: Any, waiter: str, stack: str, **what: str) -> None:
    from botocore.exceptions import WaiterError

    patience = {"Delay": 2, "MaxAttempts": 900}
    try:
        cloudformation.get_waiter(waiter).wait(**what, WaiterConfig=patience)
    except WaiterError as error:
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [e for e in reversed(events) if e.get("ResourceStatus", "").endswith("_FAILED")]
        why = "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in failed)
        raise DeployError(f"the stack {stack} could not be made: {why or error}") from error


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


def _sam(command: list[str], environ: Mapping[str, str], cwd: Path, *, quiet: bool = False) -> None:
    """Run the SAM CLI. With `quiet`, its output is shown only if it fails."""
    if not SAM.is_file():
        raise DeployError(f"the SAM CLI is not there ({SAM}); `make sam` installs it")
    ours = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(SAM.parents[2] / "sam-home")}
    if environ.get("AWS_ENDPOINT_URL", "").startswith(_LOOPBACK):
        ours |= {"SAM_CLI_POLL_DELAY": "0.2"}
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    try:
        done = subprocess.run([str(SAM), *command], env={**environ, **ours}, cwd=cwd, stdin=subprocess.DEVNULL,  # noqa: S603
                              text=True, check=False, **said)  # type: ignore[call-overload] # fmt: skip
    except OSError as error:
        raise DeployError(f"cannot run {SAM} ({error.strerror}); delete {SAM.parents[1]} and try again") from error
    if done.returncode:
        why = "\n" + "\n".join(done.stdout.splitlines()[-_LOG_LINES:]) if quiet else "; its output above says why"
        raise DeployError(f"`sam {command[0]}` failed{why}")
