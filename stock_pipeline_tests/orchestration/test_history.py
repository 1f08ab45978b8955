"""Dagster's history stays small, what the pages show stays, and a clock that was ahead stops nobody."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)

from stock_pipeline.orchestration.history import KEPT, Purged, forget_future_ticks, purge

DAYS = dg.StaticPartitionsDefinition(["a", "b"])
SOON, LATER = timedelta(days=1), KEPT + timedelta(days=1)


@dg.asset(partitions_def=DAYS)
def table(context: dg.AssetExecutionContext) -> None:
    context.log.info("x" * 1000)
    print("printed")


@dg.asset_check(asset=table)
def good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


JOB = dg.Definitions(
    assets=[table], asset_checks=[good], jobs=[dg.define_asset_job("job")],
    executor=dg.in_process_executor,
).resolve_job_def("job")  # fmt: skip


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(instance: dg.DagsterInstance, partition: str) -> str:
    return JOB.execute_in_process(instance=instance, partition_key=partition).run_id


def shown(instance: dg.DagsterInstance) -> dict[str, str]:
    """The run of the last materialization of each partition."""
    found = reversed(instance.fetch_materializations(table.key, limit=1000).records)  # the latest last
    return {str(record.partition_key): record.run_id for record in found}


def test_old_runs_go_with_their_files_and_what_is_shown_stays(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    runs = [run(instance, "ab"[n % 2]) for n in range(4)]
    instance.report_runless_asset_event(dg.AssetMaterialization(table.key, partition="a"))
    instance.report_runless_asset_event(dg.AssetMaterialization(table.key, partition="b"))
    kept = shown(instance)
    assert purge(instance, datetime.now(UTC) + SOON) == Purged(0, 0, 0, 0)
    purged = purge(instance, datetime.now(UTC) + LATER)
    assert purged.runs == 4
    assert purged.results == 3  # the last one stays
    assert shown(instance) == kept
    assert instance.get_runs_count() == 0
    assert [path for path in tmp_path.rglob("*") if any(run in str(path) for run in runs)] == []
    assert purge(instance, datetime.now(UTC) + LATER) == Purged(0, 0, 0, 0)


def test_the_run_of_what_a_partition_shows_stays_with_its_log(instance: dg.DagsterInstance) -> None:
    first, second, third = run(instance, "a"), run(instance, "b"), run(instance, "a")
    purge(instance, datetime.now(UTC) + LATER)
    assert shown(instance) == {"a": third, "b": second}
    assert {record.run_id for record in instance.get_runs()} == {second, third}
    assert instance.get_run_by_id(first) is None
    assert any("x" * 1000 in str(log.user_message) for log in instance.all_logs(third))


def test_runs_that_are_not_done_stay_however_old(instance: dg.DagsterInstance) -> None:
    waiting = instance.create_run_for_job(JOB, status=dg.DagsterRunStatus.STARTED)
    purge(instance, datetime.now(UTC) + 100 * LATER)
    assert instance.get_run_by_id(waiting.run_id)


def test_the_size_does_not_grow_with_the_number_of_runs(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Day after day: after the first ones are purged, a further day takes the place of an old one."""
    sizes = []
    for _ in range(3):
        for n in range(5):
            run(instance, "ab"[n % 2])
        sizes.append(size(tmp_path))
        purge(instance, datetime.now(UTC) + LATER)
    print([f"{each / 2**20:.1f} MiB" for each in sizes])
    assert sizes[-1] < 1.7 * sizes[0]


def test_other_storages_are_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as memory:
        JOB.execute_in_process(instance=memory, partition_key="a")
        assert purge(memory, datetime.now(UTC) + LATER) == Purged(0, 0, 0, 0)
        assert memory.get_runs_count() == 1


def state_of(name: str, at: float) -> InstigatorState:
    from dagster._core.remote_origin import (
        RegisteredCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )

    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("x"), "__repository__"), name)
    data = SensorInstigatorData(at, None, 10, "the cursor", at, at - 1000, None, at)
    return InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)


@pytest.mark.parametrize("ahead", [3600.0, 86400.0, 365 * 86400.0])
def test_a_sensor_whose_last_tick_lies_in_the_future_goes_on_now(instance: dg.DagsterInstance, ahead: float) -> None:
    now = time.time()
    for name, at in [("future", now + ahead), ("past", now - 100)]:
        state = instance.add_instigator_state(state_of(name, at))
        instance.create_tick(
            TickData(state.instigator_origin_id, name, InstigatorType.SENSOR, TickStatus.SUCCESS, at,
                     [], selector_id=state.selector_id)
        )  # fmt: skip
    assert forget_future_ticks(instance, now) == ["future"]
    for state in instance.all_instigator_state():
        data = state.instigator_data
        assert isinstance(data, SensorInstigatorData)
        times = (data.last_tick_timestamp, data.last_tick_start_timestamp, data.last_tick_success_timestamp)
        assert all(each is not None and each <= now for each in times)
        assert (data.cursor, state.status) == ("the cursor", InstigatorStatus.RUNNING)
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        assert [tick.timestamp <= now for tick in ticks] == [True]
    assert forget_future_ticks(instance, now) == []
