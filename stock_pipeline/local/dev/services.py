"""How each process of Dagster is started: the code server, the webserver, the daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stock_pipeline.local.dev.dagster import LOCATION
from stock_pipeline.local.dev.processes import Lifeline, Service, spawn
from stock_pipeline.local.folders import LocalFolders

HOST = "127.0.0.1"
CODE_SERVER, WEBSERVER, DAEMON = "code server", "webserver", "daemon"

# The code server's own server ends when it hears nothing from it for so long, by the clock. A closed lid and a clock
# that is set look like that. It needs no such limit, because it is in the process group that ends with `dev`.
_YEAR = 365 * 24 * 3600


def code_server(*where: str) -> list[str]:
    """The arguments of `python -m` for the code server that listens there."""
    start = ["dagster", "code-server", "start", "-m", "stock_pipeline.definitions", "--location-name", LOCATION]
    return [*start, *where, "--log-level", "WARNING"]


def webserver(workspace: str, port: int) -> list[str]:
    """The arguments of `python -m` for the UI."""
    quiet = ["--log-level", "warning", "--dagster-log-level", "warning", "--live-data-poll-rate", "2000"]
    return ["stock_pipeline.orchestration.ui.webserver", "-w", workspace, "-h", HOST, "-p", str(port), *quiet]


def daemon(workspace: str) -> list[str]:
    """The arguments of `python -m` for the daemon."""
    return ["stock_pipeline.orchestration.daemon", "run", "-w", workspace, "--log-level", "info"]


def workspace_of(**where: object) -> str:
    """The text of a `workspace.yaml` with the code server that listens there."""
    return json.dumps({"load_from": [{"grpc_server": {**where, "location_name": LOCATION}}]})  # JSON is YAML


@dataclass(frozen=True)
class Services:
    """Starts the processes of Dagster. The webserver has the port."""

    environ: Mapping[str, str]
    home: Path
    root: Path
    code_socket: Path
    lifeline: Lifeline

    def start(self, name: str, port: int) -> Service:
        return {CODE_SERVER: self.code_server, WEBSERVER: lambda: self.webserver(port), DAEMON: self.daemon}[name]()

    def start_all(self, port: int) -> dict[str, Service]:
        """Start all three at once. The other two find the code server when it is ready."""
        return {name: self.start(name, port) for name in (CODE_SERVER, WEBSERVER, DAEMON)}

    def code_server(self) -> Service:
        self.code_socket.unlink(missing_ok=True)  # of one that was killed
        where = code_server("--socket", str(self.code_socket), "--heartbeat-ttl", str(_YEAR))
        return self._spawn(CODE_SERVER, *where)

    def webserver(self, port: int) -> Service:
        return self._spawn(WEBSERVER, *webserver(self._workspace(), port))

    def daemon(self) -> Service:
        return self._spawn(DAEMON, *daemon(self._workspace()))

    def _workspace(self) -> str:
        file = self.home / "workspace.yaml"
        file.write_text(workspace_of(socket=str(self.code_socket)))
        return str(file)

    def _spawn(self, name: str, *arguments: str) -> Service:
        log = LocalFolders(self.root).home / "logs" / f"{name.replace(' ', '-')}.log"
        return spawn(name, arguments, environ=self.environ, log=log, cwd=self.root, lifeline=self.lifeline)
