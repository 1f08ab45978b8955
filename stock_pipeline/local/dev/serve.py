"""The processes of a Dagster that stays: code server, webserver, daemon, each a program of its own, or all in one.

They listen on loopback only and are reached from there: those of one task in ECS share a network, and a person comes in
by port forwarding. Each prints its log, and whoever started it starts it again when it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from stock_pipeline.errors import DevError
from stock_pipeline.extras import require
from stock_pipeline.local.dev.instance_file import instance_file
from stock_pipeline.local.dev.processes import end
from stock_pipeline.local.dev.services import HOST, code_server, daemon, webserver, workspace_of
from stock_pipeline.local.folders import exclusive, keep_private

PARTS = ("code", "webserver", "daemon")
_POLL = 0.5
_TRIES, _BETWEEN = 5, 1.0  # seconds
_STOP_WITHIN = 25.0  # seconds; ECS kills after 30

# If several processes create the storages of a new home at the same time, they break them for good.
_PREPARE = (
    "import dagster as d; i = d.DagsterInstance.get(); i.get_runs(limit=1); i.all_instigator_state(); i.dispose()"
)


def prepare(home: Path, env: Mapping[str, str], code_port: int) -> None:
    """Write the files of Dagster's home, and create its storages if they are not there. Safe to call at the same time.

    Raises DevError, with the end of what Dagster said, when the storage does not answer.
    """
    require("serve", "`stock-pipeline serve`")
    keep_private(home)
    with exclusive(home / "prepare.lock"):
        (home / "dagster.yaml").write_text(instance_file(env))
        (home / "workspace.yaml").write_text(workspace_of(host=HOST, port=code_port))
        said = _created(home, env)
        for _ in range(_TRIES):
            if "already exists" not in said:
                break
            # A part with a home of its own creates the same tables of PostgreSQL at this moment. It gets them done.
            time.sleep(_BETWEEN)
            said = _created(home, env)
    if said:
        raise DevError(f"Dagster's storage does not answer: {said[-1000:]}")


def _created(home: Path, env: Mapping[str, str]) -> str:
    """What went wrong when the storages were created, or nothing."""
    made = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _PREPARE], env={**env, "DAGSTER_HOME": str(home)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return (made.stderr.strip() or f"status {made.returncode}") if made.returncode else ""


def command_of(part: str, home: Path, ui_port: int, code_port: int) -> list[str]:
    """The command that is a part: `python -m …`."""
    workspace = str(home / "workspace.yaml")
    arguments = {
        "code": code_server("--host", HOST, "--port", str(code_port)),
        "webserver": webserver(workspace, ui_port),
        "daemon": daemon(workspace),
    }
    return [sys.executable, "-m", *arguments[part]]


def become(part: str, home: Path, env: Mapping[str, str], ui_port: int, code_port: int) -> None:
    """Turn this process into a part of Dagster. It does not return."""
    prepare(home, env, code_port)
    command = command_of(part, home, ui_port, code_port)
    os.execve(command[0], command, _environ(home, env))  # noqa: S606 - this interpreter


def run_all(home: Path, env: Mapping[str, str], ui_port: int, code_port: int) -> None:
    """Run all parts until this process is told to end. Raises DevError when one of them ends by itself."""
    prepare(home, env, code_port)
    parts: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for part in PARTS:
            parts[part] = subprocess.Popen(  # noqa: S603 - this interpreter
                command_of(part, home, ui_port, code_port), env=_environ(home, env), start_new_session=True
            )
        while not (ended := [part for part, process in parts.items() if process.poll() is not None]):
            time.sleep(_POLL)
        raise DevError(f"the {ended[0]} ended by itself (status {parts[ended[0]].returncode}); its log says why")
    finally:
        end([*parts.values()], _STOP_WITHIN)


def _environ(home: Path, env: Mapping[str, str]) -> dict[str, str]:
    return {**env, "DAGSTER_HOME": str(home), "PYTHONUNBUFFERED": "1"}
