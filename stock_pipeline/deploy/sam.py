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
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from stock_pipeline.deploy import stack as stacks
from stock_pipeline.deploy.build import pack
from stock_pipeline.deploy.dependencies import HOST, TARGETS
from stock_pipeline.deploy.events import clock, reasons
from stock_pipeline.deploy.readiness import Ready, made_ready
from stock_pipeline.deploy.reservations import fitting
from stock_pipeline.deploy.sources import CHECKOUT, TEMPLATE
from stock_pipeline.deploy.stack import LOOPBACK, account_of, client_of, described, resources_of, stack_of
from stock_pipeline.deploy.tags import tags_for
from stock_pipeline.deploy.takeover import left_behind, named_buckets, take_over
from stock_pipeline.deploy.values import Values
from stock_pipeline.deploy.years import chosen
from stock_pipeline.errors import DeployError

SAM = CHECKOUT / ".local" / "sam" / "bin" / "sam"
BUILT = CHECKOUT / "build"
DEFAULT_MACHINE = "arm64"
"""The processor of a new stack's functions; a test compares it with the template's default."""

_CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_LOG_LINES = 20


def machine_of(
    stage: str, target: str | None, parameters: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> str:
    """The processor that a stage's functions are built for: what is asked for, else what its stack has, else arm64.

    `target` and the parameter `Architecture` both ask for one. Raises DeployError if they differ.
    """
    asked = {given for given in (parameters.get("Architecture"), target) if given and given != HOST.name}
    if len(asked) > 1:
        raise DeployError(f"ARCH={target} and Architecture={parameters['Architecture']} differ; give one of them")
    found = described(stack_of(stage), client_of("cloudformation", environ)) or {}
    return asked.pop() if asked else stacks.parameters_of(found).get("Architecture", DEFAULT_MACHINE)


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


def deploy(
    built: Path,
    stage: str,
    parameters: Mapping[str, str],
    environ: Mapping[str, str] = os.environ,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Create or update a stage's stack from a built template. SAM's own output goes to stdout.

    Parameters that are not given keep the stack's values, or their defaults; so do `tags` that are None. A new stack
    takes over the buckets that an earlier stack of the stage left behind. An empty stack whose creation failed is
    deleted first. `environ` says which AWS. Raises DeployError, with every reason that CloudFormation gives; then an
    existing stack works as before.
    """
    if not built.is_file():
        raise DeployError(f"there is no {built}; run `make build` first")
    stack, cloudformation = stack_of(stage), client_of("cloudformation", environ)
    ready = made_ready(stack, cloudformation, _say)
    from stock_pipeline.deploy.template import load_template  # its YAML comes with the extra

    template = load_template(built)
    known = template["Parameters"]
    asked = {"Stage": stage, **parameters}
    if unknown := asked.keys() - known:
        raise DeployError(f"the template has no parameter {min(unknown)}; it has {', '.join(sorted(known))}")
    kept = {name: value for name, value in ready.parameters.items() if name in known}
    values = Values(template, {**kept, **asked}, account_of(environ), cloudformation.meta.region_name)
    functions = resources_of(stack, cloudformation, "AWS::Lambda::Function").values() if ready.exists else []
    given = asked if ready.exists else {**kept, **asked}
    given |= fitting(values, asked, functions, client_of("lambda", environ), _say)
    given |= chosen({**kept, **asked}, ready.exists, datetime.now(UTC).date(), _say)
    _mind_the_buckets(stack, values, ready, environ)
    since = clock(client_of("sts", environ).get_caller_identity())
    command = ["deploy", "--template-file", str(built), "--stack-name", stack, "--resolve-s3", "--s3-prefix", stack]
    command += ["--capabilities", *_CAPABILITIES, "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    command += ["--no-progressbar", "--parameter-overrides", *(f'{name}="{value}"' for name, value in given.items())]
    labels = tags_for(stage, tags, ready.tags)
    command += ["--tags", *(f'"{name}"="{value}"' for name, value in labels.items())]
    try:
        _sam(command, environ, built.parent)
    except DeployError as error:
        raise DeployError("\n  ".join([str(error), *reasons(stack, cloudformation, since)])) from error


def _mind_the_buckets(stack: str, values: Values, ready: Ready, environ: Mapping[str, str]) -> None:
    """Let a new stack take over buckets that are left; refuse an update that would begin with new, empty ones."""
    cloudformation = client_of("cloudformation", environ)
    if not ready.exists:
        if left := left_behind(values, client_of("s3", environ)):
            _say(f"taking over {' and '.join(left.values())}, which an earlier stack left behind")
            take_over(stack, left, values, cloudformation)
        return
    held = resources_of(stack, cloudformation, "AWS::S3::Bucket")
    for logical, name in named_buckets(values).items():
        if (old := held.get(logical, name)) != name:
            raise DeployError(
                f"the stack {stack} keeps its data in {old}; this version would begin with a new, empty bucket {name}. "
                f"Deploy another stage and copy the data: aws s3 sync s3://{old} s3://NEW, or stay with the old version"
            )


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
    if environ.get("AWS_ENDPOINT_URL", "").startswith(LOOPBACK):
        ours |= {"SAM_CLI_POLL_DELAY": "0.2"}
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    if region := environ.get("AWS_REGION"):
        ours |= {"AWS_DEFAULT_REGION": region}  # the SAM CLI reads no other
    try:
        done = subprocess.run([str(SAM), *command], env={**environ, **ours}, cwd=cwd, stdin=subprocess.DEVNULL,  # noqa: S603
                              text=True, check=False, **said)  # type: ignore[call-overload] # fmt: skip
    except OSError as error:
        raise DeployError(f"cannot run {SAM} ({error.strerror}); delete {SAM.parents[1]} and try again") from error
    if done.returncode:
        why = "\n" + "\n".join(done.stdout.splitlines()[-_LOG_LINES:]) if quiet else "; its output above says why"
        raise DeployError(f"`sam {command[0]}` failed{why}")


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201
