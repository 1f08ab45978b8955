"""`doctor` tells of Dagster's definitions, its daemon's heartbeats and the lag of each sensor."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.cli.doctor.dagster_checks import dagster
from stock_pipeline.settings import Settings


@dataclass
class Ui:
    """A Dagster UI on loopback: the answers to the two questions, with ages in seconds."""

    url: str = ""
    error: str = ""
    beats: dict[str, float | None] = field(default_factory=lambda: {"SENSOR": 5.0, "SCHEDULER": 20.0})
    sensors: dict[str, float | None] = field(default_factory=lambda: {"alerts": 9.0, "tick_arrivals": 3.0})

    def answer(self, query: str) -> dict[str, Any]:
        now = time.time()
        node = (
            {"__typename": "PythonError", "message": self.error} if self.error else {"__typename": "RepositoryLocation"}
        )
        statuses = [
            {
                "daemonType": name, "required": True, "healthy": age is not None, "lastHeartbeatErrors": [],
                "lastHeartbeatTime": None if age is None else now - age,
            }
            for name, age in self.beats.items()
        ]  # fmt: skip
        sensors = [
            {
                "name": name, "minIntervalSeconds": 30,
                "sensorState": {
                    "status": "RUNNING", "ticks": [] if age is None else [{"tickId": "1", "timestamp": now - age}],
                },
            }
            for name, age in self.sensors.items()
        ]  # fmt: skip
        return {
            "workspaceOrError": {"locationEntries": [{"displayMetadata": [], "locationOrLoadError": node}]},
            "executionPlanOrError": {"__typename": "ExecutionPlan"},
            "instance": {"daemonHealth": {"allDaemonStatuses": statuses}},
            "sensorsOrError": {"results": sensors},
        }


@pytest.fixture
def ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ui]:
    monkeypatch.setenv("STOCK_PIPELINE_HOME", str(tmp_path))
    made = Ui()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"data": made.answer(asked["query"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()


def told(ui: Ui) -> dict[str, tuple[str, str]]:
    return {d.check: (d.state, d.what) for d in dagster(Settings(dagster_url=ui.url))}


def test_a_dagster_that_works_is_told_with_its_heartbeat_and_the_lag_of_each_sensor(ui: Ui) -> None:
    found = told(ui)
    assert found["Dagster"] == ("ok", f"{ui.url}: definitions loaded")
    assert found["daemon"] == ("ok", "all daemons healthy, the oldest heartbeat is of 20 s ago")
    assert found["sensors"] == ("ok", "last ticks: alerts 9 s ago, tick_arrivals 3 s ago")


@pytest.mark.parametrize(("age", "says"), [(None, "no heartbeat"), (1000.0, "no heartbeat")])
def test_a_daemon_without_a_heartbeat_is_broken(ui: Ui, age: float | None, says: str) -> None:
    ui.beats["SENSOR"] = age
    assert told(ui)["daemon"] == ("broken", f"not healthy: sensor ({says})")


@pytest.mark.parametrize(("age", "says"), [(None, "never"), (1000.0, "1000 s ago")])
def test_a_sensor_that_does_not_tick_is_named(ui: Ui, age: float | None, says: str) -> None:
    ui.sensors["alerts"] = age
    assert told(ui)["sensors"] == ("broken", f"late: last ticks alerts {says}")


def test_no_sensor_and_no_daemon_are_not_called_healthy(ui: Ui) -> None:
    ui.sensors, ui.beats = {}, {}
    found = told(ui)
    assert (found["sensors"][0], found["daemon"][0]) == ("note", "broken")


def test_definitions_that_do_not_load_are_told_with_their_error(ui: Ui) -> None:
    ui.error = "No module named 'mine'"
    found = told(ui)
    assert found == {"Dagster": ("broken", f"{ui.url}: the definitions do not load: No module named 'mine'")}


def test_without_an_address_nothing_is_asked(ui: Ui) -> None:
    (only,) = dagster(Settings())
    assert (only.state, only.what) == ("note", "is not running")
    assert "STOCK_PIPELINE_DAGSTER_URL" in only.remedy
