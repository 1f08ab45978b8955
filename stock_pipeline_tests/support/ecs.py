"""An ECS on loopback that starts processes: the five calls of Dagster's launcher, a process for each task.

Its answers have the fields that AWS documents for DescribeTaskDefinition, RunTask, DescribeTasks and StopTask.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ARN = "arn:aws:ecs:us-east-1:123456789012"


@dataclass
class Task:
    """One task: what was asked for, and its process."""

    request: Mapping[str, Any]
    process: subprocess.Popen[bytes]
    stopped: bool = False

    def described(self, arn: str) -> dict[str, Any]:
        code = self.process.poll()
        container = {"name": "run", **({} if code is None else {"exitCode": code})}
        status = "RUNNING" if code is None else "STOPPED"
        why = {"stopCode": "UserInitiated" if self.stopped else "EssentialContainerExited", "stoppedReason": "it ended"}
        return {
            "taskArn": arn, "clusterArn": f"{ARN}:cluster/{self.request['cluster']}", "lastStatus": status,
            "containers": [container], **({} if code is None else why),
        }  # fmt: skip


@dataclass
class Ecs:
    """The cluster. `environ` is the environment of the task definition's container."""

    family: str
    environ: Mapping[str, str]
    log: Path
    tasks: dict[str, Task] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"ecs": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Ecs:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for task in self.tasks.values():
            task.process.kill()
            task.process.wait()

    def answer(self, action: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append(action)
        if action == "DescribeTaskDefinition":
            assert asked["taskDefinition"] == self.family
            arn = f"{ARN}:task-definition/{self.family}:1"
            return {"taskDefinition": {"taskDefinitionArn": arn, "containerDefinitions": [{"name": "run"}]}}
        if action == "RunTask":
            return self._run(asked)
        arns = asked["tasks"] if action == "DescribeTasks" else [asked["task"]]
        if action == "StopTask":
            self.tasks[arns[0]].stopped = True
            self.tasks[arns[0]].process.terminate()
            return {"task": self.tasks[arns[0]].described(arns[0])}
        assert action == "DescribeTasks", f"the launcher calls {action}, which no policy allows"
        return {"tasks": [self.tasks[arn].described(arn) for arn in arns if arn in self.tasks], "failures": []}

    def _run(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        (override,) = asked["overrides"]["containerOverrides"]
        assert override["name"] == "run"
        assert len(json.dumps(asked["overrides"])) <= 8192, "ECS takes no longer overrides"
        command = [str(Path(sys.executable).parent / override["command"][0]), *override["command"][1:]]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=dict(self.environ), stdout=log, stderr=log, start_new_session=True)
        arn = f"{ARN}:task/{asked['cluster']}/{len(self.tasks):032x}"
        self.tasks[arn] = Task(asked, process)
        return {"tasks": [self.tasks[arn].described(arn)], "failures": []}


class _Handler(BaseHTTPRequestHandler):
    ecs: Ecs

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.ecs.answer(self.headers["X-Amz-Target"].rpartition(".")[2], asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass
