"""Questions to Dagster, over the GraphQL API of its UI."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from stock_pipeline.errors import DevError

LOCATION = "stock_pipeline"
_REPOSITORY = "__repository__"
_TIMEOUT = 30.0  # seconds
_TRIES, _BETWEEN_TRIES = 3, 1.0  # for a question; a request that changes something is sent once
_LAUNCH_TIMEOUT = 300.0  # before it answers, Dagster records each partition that the run will materialize
_DONE = {"SUCCESS", "FAILURE", "CANCELED"}

_STATE = """{
  workspaceOrError { ... on Workspace { locationEntries {
    displayMetadata { key value }
    locationOrLoadError { __typename ... on PythonError { message } } } } }
  instance { daemonHealth { allDaemonStatuses {
    daemonType required healthy lastHeartbeatErrors { message } } } }
}"""

# The plan of a run comes from the code server each time; nothing of it is kept elsewhere.
_SIGNS = """query ($repository: RepositorySelector!, $job: PipelineSelector!) {
  workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message className } } } } }
  executionPlanOrError(pipeline: $job, mode: "default") { __typename ... on PythonError { message className } }
  instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } }
  sensorsOrError(repositorySelector: $repository) { ... on Sensors { results {
    name minIntervalSeconds sensorState { status
    ticks(limit: 1, statuses: [STARTED, SKIPPED, SUCCESS, FAILURE]) { tickId timestamp } } } } }
}"""  # without statuses, the ticks come from a cache, and there are none
_PLANNED = "check_stream"  # a small job
_UNREACHABLE = "DagsterUserCodeUnreachableError"

_PARTITIONS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeys
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
} } }"""

_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
} }"""

_RUN = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""

_UNFINISHED = """query ($job: String!) { runsOrError(
  filter: { pipelineName: $job, statuses: [QUEUED, NOT_STARTED, STARTING, STARTED] }
) { ... on Runs { results { runId } } } }"""


@dataclass(frozen=True)
class State:
    """The state of Dagster: whether the definitions are loaded (or the error), and which daemons are not healthy.

    `code_server` is the socket that the definitions come from. It tells one Dagster from another on the same port.
    """

    code_server: str | None
    loaded: bool
    error: str | None
    unhealthy: dict[str, str]


@dataclass(frozen=True)
class Signs:
    """What shows that Dagster works.

    `unreachable` says why the code server does not answer. Definitions that do not load are no such reason: a person
    may be changing them. `heartbeats` has the time of the last one for each daemon, `ticks` the last tick and the
    interval in seconds of each sensor that is on.
    """

    unreachable: str | None
    heartbeats: dict[str, float | None]
    ticks: dict[str, tuple[object, float]]


class Dagster:
    """The Dagster behind a UI. Every method but `answers` raises DevError when Dagster does not answer or refuses."""

    def __init__(self, url: str) -> None:
        self.url = url

    def answers(self) -> bool:
        """Whether the UI is up."""
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=2) as reply:  # noqa: S310
                return bool(reply.status == 200)
        except OSError:
            return False

    def state(self) -> State:
        data = self._ask(_STATE)
        entries = data["workspaceOrError"].get("locationEntries", [])
        found = [entry["locationOrLoadError"] or {} for entry in entries]
        errors = [f["message"] for f in found if f.get("__typename") == "PythonError"]
        statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
        unhealthy = {
            s["daemonType"]: "; ".join(e["message"].strip() for e in s["lastHeartbeatErrors"] or [])
            for s in statuses
            if s["required"] and not s["healthy"]
        }
        loaded = any(f.get("__typename") == "RepositoryLocation" for f in found)
        sockets = [item["value"] for e in entries for item in e["displayMetadata"] if item["key"] == "socket"]
        return State(sockets[0] if sockets else None, loaded, errors[0].strip() if errors else None, unhealthy)

    def signs(self, timeout: float = 20.0) -> Signs:
        """What Dagster has done lately. Asks once."""
        place = {"repositoryName": _REPOSITORY, "repositoryLocationName": LOCATION}
        data = self._ask(_SIGNS, timeout, tries=1, repository=place, job={**place, "pipelineName": _PLANNED})
        answers = [e["locationOrLoadError"] or {} for e in data["workspaceOrError"].get("locationEntries", [])]
        answers.append(data["executionPlanOrError"])
        unreachable = [a["message"].strip() for a in answers if a.get("className") == _UNREACHABLE]
        statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
        sensors = [s for s in data["sensorsOrError"].get("results", []) if s["sensorState"]["status"] == "RUNNING"]
        return Signs(
            unreachable[0].splitlines()[0] if unreachable else None,
            {s["daemonType"]: s["lastHeartbeatTime"] for s in statuses if s["required"]},
            {s["name"]: (s["sensorState"]["ticks"], float(s["minIntervalSeconds"])) for s in sensors},
        )

    def partitions(self, asset: str) -> dict[str, bool]:
        """The partitions of an asset in order, each with whether it is materialized."""
        node = self._ask(_PARTITIONS, key={"path": [asset]})["assetNodeOrError"]
        keys: list[str] = node.get("partitionKeys") or []
        at = {key: n for n, key in enumerate(keys)}
        done: set[str] = set()
        for found in node.get("assetPartitionStatuses", {}).get("ranges", []):
            if found["status"] == "MATERIALIZED":
                done.update(keys[at[found["startKey"]] : at[found["endKey"]] + 1])
        return {key: key in done for key in keys}

    def launch(self, job: str, first: str, last: str) -> str:
        """Start one run of a job over a range of partitions and return its id."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        params = {
            "selector": {"jobName": job, "repositoryName": _REPOSITORY, "repositoryLocationName": LOCATION},
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
        }
        answer = self._ask(_LAUNCH, _LAUNCH_TIMEOUT, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reasons = [answer.get("message", "")] + [e["message"] for e in answer.get("errors", [])]
            raise DevError(f"Dagster did not start {job}: {' '.join(filter(None, reasons)) or answer['__typename']}")
        return str(answer["run"]["runId"])

    def is_done(self, run: str) -> bool:
        """Whether a run has ended. Raises DevError, with the run's address, when it did not succeed."""
        status = self._ask(_RUN, id=run)["runOrError"].get("status", "gone")
        if status in _DONE - {"SUCCESS"} or status == "gone":
            raise DevError(f"the run ended as {status}: {self.url}/runs/{run}")
        return bool(status == "SUCCESS")

    def unfinished(self, job: str) -> Sequence[str]:
        """The ids of a job's runs that wait or run."""
        return [r["runId"] for r in self._ask(_UNFINISHED, job=job)["runsOrError"].get("results", [])]

    def _ask(
        self, query: str, timeout: float = _TIMEOUT, *, tries: int = _TRIES, **variables: Any
    ) -> Mapping[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own http URL
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        tries = 1 if query.startswith("mutation") else tries
        for left in reversed(range(tries)):
            try:
                answer = _answer(request, timeout)
                break
            except (OSError, ValueError, HTTPException) as error:
                if not left:
                    raise DevError(f"the Dagster UI at {self.url} does not answer ({error})") from error
                time.sleep(_BETWEEN_TRIES)
        if answer.get("errors"):
            raise DevError(f"Dagster refused a question: {'; '.join(_messages(answer['errors']))}")
        data: Mapping[str, Any] = answer["data"]
        return data


def _answer(request: urllib.request.Request, timeout: float) -> dict[str, Any]:
    """The answer to a question. Dagster answers with the status 500, too, when a part of it tells of an error."""
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:  # noqa: S310 - our own http URL
            answer: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
        if not answer.get("data") and not answer.get("errors"):
            raise
    return answer


def _messages(errors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for error in errors:
        yield str(error.get("message", error))
