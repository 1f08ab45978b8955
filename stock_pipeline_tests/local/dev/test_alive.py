"""What ECS and systemd ask: whether a part of Dagster works, not only whether its process lives."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stock_pipeline.errors import DevError
from stock_pipeline.local.dev import alive


@dataclass
class Ui:
    """A webserver on loopback; `beats` are the ages of the daemons' heartbeats, in seconds."""

    port: int = 0
    unreachable: str = ""
    beats: dict[str, float | None] = field(default_factory=lambda: {"SENSOR": 5.0, "SCHEDULER": 20.0})

    def answer(self) -> dict[str, Any]:
        plan = {"__typename": "ExecutionPlan"}
        if self.unreachable:
            plan = {
                "__typename": "PythonError",
                "message": self.unreachable,
                "className": "DagsterUserCodeUnreachableError",
            }
        now = time.time()
        beats = [
            {"daemonType": name, "required": True, "lastHeartbeatTime": None if age is None else now - age}
            for name, age in self.beats.items()
        ]
        return {
            "workspaceOrError": {"locationEntries": []},
            "executionPlanOrError": plan,
            "instance": {"daemonHealth": {"allDaemonStatuses": beats}},
            "sensorsOrError": {"results": []},
        }


@pytest.fixture
def ui() -> Iterator[Ui]:
    made = Ui()

    class Handler(BaseHTTPRequestHandler):
        def _say(self, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self._say({})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say({"data": made.answer()})

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.port = server.server_port
        yield made
        server.shutdown()


@pytest.fixture
def closed() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_parts_that_work_are_not_in_trouble(ui: Ui) -> None:
    assert [alive.trouble(part, ui.port, ui.port) for part in ("code", "webserver", "daemon")] == [None] * 3


def test_a_part_that_nothing_listens_for_is_in_trouble(closed: int) -> None:
    assert str(closed) in str(alive.trouble("code", closed, closed))
    assert str(closed) in str(alive.trouble("webserver", closed, closed))


@pytest.mark.parametrize("age", [None, 1000.0])
def test_a_daemon_that_lives_but_does_not_beat_is_in_trouble(ui: Ui, age: float | None) -> None:
    ui.beats["SENSOR"] = age
    assert alive.trouble("daemon", ui.port) == "no heartbeat of sensor"


def test_no_daemon_at_all_is_in_trouble(ui: Ui) -> None:
    ui.beats = {}
    assert alive.trouble("daemon", ui.port) == "no daemon has a heartbeat"


def test_a_code_server_that_hangs_is_in_trouble(ui: Ui) -> None:
    ui.unreachable = "Deadline exceeded"
    assert alive.trouble("daemon", ui.port) == "the code server does not answer: Deadline exceeded"


def test_a_part_that_there_is_not_is_refused(ui: Ui) -> None:
    with pytest.raises(DevError, match="there is no part deamon; the parts are code, webserver, daemon"):
        alive.trouble("deamon", ui.port)


@pytest.mark.parametrize(("parts", "says"), [([], "name a part"), (["deamon"], "there is no part deamon")])
def test_the_command_ends_with_what_is_wrong(parts: list[str], says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        alive.main(parts)


def test_the_command_stops_at_the_first_part_in_trouble(ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def broken(part: str) -> str | None:
        asked.append(part)
        return "does not answer" if part == "webserver" else None

    monkeypatch.setattr(alive, "trouble", broken)
    with pytest.raises(SystemExit, match="webserver: does not answer"):
        alive.main(["code", "webserver", "daemon"])
    assert asked == ["code", "webserver"]
    alive.main(["code"])
