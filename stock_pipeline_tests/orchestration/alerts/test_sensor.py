"""Each problem is said once on each channel, whatever restarts; none is lost when a channel is away."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._utils.error import serializable_error_info_from_exc_info
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stock_pipeline.aws.alert_channels import Message
from stock_pipeline.definitions import defs
from stock_pipeline.errors import AlertNotSent, FileRefused, quoted
from stock_pipeline.orchestration.alerts import sensor
from stock_pipeline.orchestration.alerts.delivery import MOST, WITHIN
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline_tests.support.postgres import postgres

UI = "http://localhost:3000"


@dataclass
class Ear:
    """A channel that hears, or is away."""

    name: str = "ear"
    heard: list[Message] = field(default_factory=list)
    away: bool = False

    def send(self, message: Message) -> None:
        if self.away:
            raise AlertNotSent(f"{self.name} is away")
        self.heard.append(message)


@dg.op
def work() -> None:
    with as_dagster_failures():
        raise FileRefused(f"no column for close in {quoted('secret contents')}; see the reference")


@dg.op
def broken() -> None:
    {}["missing"]


JOBS = {name: dg.GraphDefinition(name, node_defs=[op]).to_job() for name, op in (("refuses", work), ("breaks", broken))}


@dg.asset
def table() -> None: ...


@dataclass
class Watched:
    """An instance and its channels. `passed` is how long ago, in seconds, its events happened."""

    instance: dg.DagsterInstance
    ears: list[Ear] = field(default_factory=lambda: [Ear()])
    passed: float = 0.0

    def look(self) -> str:
        """One tick of the sensor. A channel that is away fails the tick."""
        real = time.time()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sensor, "channels_of", lambda settings: self.ears)
            patch.setattr(sensor.time, "time", lambda: real + self.passed)
            with dg.build_sensor_context(self.instance, resources={"buckets": Buckets()}) as context:
                found = sensor.alerts(context)
        assert isinstance(found, dg.SkipReason)
        return str(found.skip_message)

    def titles(self) -> list[str]:
        """What the first channel has heard after one more look."""
        self.look()
        return [message.title for message in self.ears[0].heard]

    def run(self, job: str, tags: dict[str, str] | None = None) -> str:
        return JOBS[job].execute_in_process(instance=self.instance, raise_on_error=False, tags=tags).run_id

    def check(self, passed: bool, partition: str | None = None, severity: str = "ERROR") -> None:
        evaluation = dg.AssetCheckEvaluation(
            asset_key=table.key, check_name="whole", passed=passed, description="2 rows are wrong",
            severity=dg.AssetCheckSeverity[severity], partition=partition,
        )  # fmt: skip
        # Outside of runs, Dagster keeps only one result of a partition.
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION.value
        event = dg.DagsterEvent(kind, job_name="checks", event_specific_data=evaluation)
        self.instance.report_dagster_event(event, run_id=str(uuid4()))

    def freshness(self, state: str) -> None:
        change = FreshnessStateChange(
            key=table.key, new_state=FreshnessState[state], previous_state=FreshnessState.UNKNOWN,
            state_change_timestamp=time.time(),
        )  # fmt: skip
        self.instance._report_runless_asset_event(change)

    def tick(self, name: str, error: Exception | None = None, *, schedule: bool = False) -> None:
        state = self._state(name, InstigatorType.SCHEDULE if schedule else InstigatorType.SENSOR)
        told = None
        if error:
            try:
                try:
                    raise error
                except Exception as cause:
                    raise dg.DagsterError("the function failed") from cause
            except dg.DagsterError:
                told = serializable_error_info_from_exc_info(sys.exc_info())
        status = TickStatus.FAILURE if error else TickStatus.SKIPPED
        self.instance.create_tick(
            TickData(state.instigator_origin_id, name, state.instigator_type, status, time.time(),
                     selector_id=state.selector_id, error=told)
        )  # fmt: skip

    def _state(self, name: str, kind: InstigatorType) -> InstigatorState:
        known = {state.instigator_name: state for state in self.instance.all_instigator_state()}
        origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("stock_pipeline"), "__repository__")
        data = SensorInstigatorData() if kind is InstigatorType.SENSOR else ScheduleInstigatorData("* * * * *")
        made = InstigatorState(RemoteInstigatorOrigin(origin, name), kind, InstigatorStatus.RUNNING, data)
        return known[name] if name in known else self.instance.add_instigator_state(made)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.crash)])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    if request.param == "sqlite":
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            yield Watched(instance)
        return
    # PostgreSQL's own user must be able to enter the folder, and tests' folders are private.
    with (
        tempfile.TemporaryDirectory(prefix="stock-pipeline-") as folder,
        postgres(Path(folder)) as storage,
        instance_for_test(overrides={"storage": storage}) as instance,
    ):
        yield Watched(instance)


def test_a_failed_run_is_said_with_its_reason_and_its_page(watched: Watched) -> None:
    refused, broke = watched.run("refuses"), watched.run("breaks")
    watched.look()
    first, second = watched.ears[0].heard
    assert first.title == "A run of refuses failed"
    assert first.why == "no column for close in '…'; see the reference", "contents of files stay here"
    assert first.link == f"{UI}/runs/{refused}"
    assert (second.title, second.link) == ("A run of breaks failed", f"{UI}/runs/{broke}")
    assert second.why == "'…'" or "missing" in second.why
    assert abs((first.at - datetime.now(UTC)).total_seconds()) < 60


def test_a_run_that_dagster_starts_again_is_said_when_it_gives_up(watched: Watched) -> None:
    watched.run("breaks", {"dagster/will_retry": "true"})
    last = watched.run("breaks", {"dagster/will_retry": "false"})
    watched.look()
    assert [message.link for message in watched.ears[0].heard] == [f"{UI}/runs/{last}"]


def test_a_run_whose_process_is_gone_is_said_as_the_daemon_tells_it(watched: Watched) -> None:
    watched.instance.report_run_failed(create_run_for_test(watched.instance, "breaks"), "its process has ended")
    watched.look()
    assert [message.why for message in watched.ears[0].heard] == ["its process has ended"]


def test_a_check_is_said_when_it_begins_to_fail_and_again_after_it_passed(watched: Watched) -> None:
    watched.check(True)
    watched.check(False)
    watched.check(False)
    assert watched.titles() == ["The check table:whole failed"]
    assert watched.ears[0].heard[0].why == "2 rows are wrong"
    assert watched.ears[0].heard[0].link == f"{UI}/assets/table?view=checks&checkDetail=whole"
    watched.check(False)
    assert len(watched.titles()) == 1
    watched.check(True)
    watched.check(False)
    assert len(watched.titles()) == 2


def test_a_check_that_warns_is_no_problem_and_ends_one(watched: Watched) -> None:
    watched.check(False, severity="WARN")
    assert watched.titles() == []
    watched.check(False)
    watched.check(False, severity="WARN")
    watched.check(False)
    assert len(watched.titles()) == 2


def test_each_partition_of_a_check_has_its_own_state(watched: Watched) -> None:
    watched.check(False, "2023")
    watched.check(True, "2024")
    watched.check(False, "2023")
    watched.check(False, "2024")
    assert watched.titles() == [f"The check table:whole (partition {year}) failed" for year in (2023, 2024)]


@pytest.mark.parametrize("schedule", [False, True])
def test_a_tick_is_said_once_until_another_works_or_fails_otherwise(watched: Watched, schedule: bool) -> None:
    kind = "schedule" if schedule else "sensor"
    for error in (ValueError("moment 1"), ValueError("moment 2")):
        watched.tick("arrivals", error, schedule=schedule)
    assert watched.titles() == [f"The {kind} arrivals failed"]
    assert watched.ears[0].heard[0].why == "moment 1"
    assert watched.ears[0].heard[0].link == f"{UI}/locations/stock_pipeline/{kind}s/arrivals"
    watched.tick("arrivals", KeyError("another"), schedule=schedule)
    assert len(watched.titles()) == 2
    watched.tick("arrivals", schedule=schedule)
    watched.tick("arrivals", KeyError("another"), schedule=schedule)
    watched.tick("others", KeyError("another"), schedule=schedule)
    assert watched.titles()[2:] == [f"The {kind} arrivals failed", f"The {kind} others failed"]


def test_a_late_asset_is_said_when_it_becomes_late(watched: Watched) -> None:
    for state in ("UNKNOWN", "PASS", "WARN", "FAIL", "FAIL"):
        watched.freshness(state)
    assert watched.titles() == ["table is late"]
    assert watched.ears[0].heard[0].link == f"{UI}/assets/table"
    watched.freshness("PASS")
    watched.freshness("FAIL")
    assert len(watched.titles()) == 2


def test_a_channel_that_was_away_hears_later_and_the_others_hear_nothing_twice(watched: Watched) -> None:
    near, far = watched.ears = [Ear("near"), Ear("far", away=True)]
    watched.run("breaks")
    for _ in range(2):
        with pytest.raises(AlertNotSent, match="far is away"):
            watched.look()
    watched.check(False)
    far.away = False
    watched.look()
    watched.look()
    assert [m.title for m in near.heard] == [m.title for m in far.heard] == [
        "A run of breaks failed", "The check table:whole failed"
    ]  # fmt: skip


def test_a_channel_that_is_new_hears_of_the_last_hour_only(watched: Watched) -> None:
    watched.run("breaks")
    watched.passed = 2 * 3600.0
    assert watched.titles() == []


def test_what_comes_late_into_the_storage_is_not_missed(watched: Watched) -> None:
    """Another process writes an event whose time is before that of one which was read already."""
    watched.tick("arrivals")
    watched.look()
    with pytest.MonkeyPatch.context() as patch:
        before = time.time() - 60
        patch.setattr(time, "time", lambda: before)
        watched.tick("others", ValueError("late"))
    assert watched.titles() == ["The sensor others failed"]


def test_a_flood_becomes_a_few_messages_and_one_that_counts_the_rest(watched: Watched) -> None:
    runs = [create_run_for_test(watched.instance, "breaks") for _ in range(MOST + 3)]
    for run in runs:
        watched.instance.report_run_failed(run)
    watched.check(False)
    titles = watched.titles()
    assert titles.count("A run of breaks failed") == MOST
    assert "The check table:whole failed" in titles, "another subject is not held back"
    assert len(watched.titles()) == MOST + 1
    watched.passed = WITHIN + 60
    assert watched.titles()[MOST + 1 :] == [watched.ears[0].heard[-1].title]
    assert watched.ears[0].heard[-1].title.startswith("A run of breaks failed, and 2 more since ")
    assert watched.ears[0].heard[-1].link == f"{UI}/runs/{runs[-1].run_id}"
    assert len(watched.titles()) == MOST + 2


def test_a_look_says_what_it_did(watched: Watched) -> None:
    assert watched.look() == "nothing new went wrong"
    watched.run("breaks")
    assert watched.look() == "1 messages sent"
    watched.ears = []
    assert "STOCK_PIPELINE_ALERTS_TOPIC_ARN" in watched.look()


ACTIONS = st.lists(st.sampled_from(["run", "check-", "check+", "tick-", "tick+", "late", "fresh", "away", "look"]),
                   max_size=14)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions=ACTIONS)
def test_in_any_order_each_problem_is_heard_once_on_each_channel(actions: list[str]) -> None:
    expected: list[str] = []
    lasting: dict[str, bool] = {}

    def happened(what: str, title: str, wrong: bool) -> None:
        if wrong and not lasting.get(what):
            expected.append(title)
        lasting[what] = wrong

    with dg.DagsterInstance.local_temp() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr("stock_pipeline.orchestration.alerts.delivery.MOST", 100)
        watched = Watched(instance, [Ear("near"), Ear("far")])
        for action in [*actions, "look"]:
            if action == "run":
                instance.report_run_failed(create_run_for_test(instance, "breaks"))
                expected.append("A run of breaks failed")
            elif action[:-1] == "check":
                watched.check(action == "check+")
                happened("check", "The check table:whole failed", action == "check-")
            elif action[:-1] == "tick":
                watched.tick("arrivals", ValueError("x") if action == "tick-" else None)
                happened("tick", "The sensor arrivals failed", action == "tick-")
            elif action in {"late", "fresh"}:
                watched.freshness("FAIL" if action == "late" else "PASS")
                happened("fresh", "table is late", action == "late")
            else:
                watched.ears[1].away = action == "away"
                try:
                    watched.look()
                except AlertNotSent:
                    assert watched.ears[1].away
        assert [[m.title for m in ear.heard] for ear in watched.ears] == [expected, expected]


def test_the_sensor_is_among_the_definitions_and_runs_by_itself() -> None:
    found = defs.resolve_sensor_def("alerts")
    assert found.default_status is dg.DefaultSensorStatus.RUNNING
    assert found.minimum_interval_seconds == sensor.INTERVAL
