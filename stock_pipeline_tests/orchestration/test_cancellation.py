"""Cancelled means cancelled: such a run does not succeed, fail or retry, even if the interrupt itself was lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from stock_pipeline.errors import StockPipelineError, StoreUnavailable
from stock_pipeline.orchestration.cancellation import stop_if_cancelled
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.ui.metadata import progress

Step = Callable[[dg.OpExecutionContext], None]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def cancel(context: dg.OpExecutionContext) -> None:
    """What the UI does. The interrupt that follows is lost here, as it may be in Python."""
    context.instance.report_run_canceling(context.run)


def after_the_last_commit(context: dg.OpExecutionContext) -> None:
    with as_dagster_failures():
        cancel(context)


def between_two_commits(context: dg.OpExecutionContext) -> None:
    with as_dagster_failures():
        report = progress(context.log.info, "objects")
        cancel(context)
        report(2, 2)
        raise AssertionError("it goes on after an edge")


def in_an_error_that_is_retried(context: dg.OpExecutionContext) -> None:
    with as_dagster_failures():
        cancel(context)
        raise StoreUnavailable("key", "no answer")


def in_an_error_that_is_not(context: dg.OpExecutionContext) -> None:
    with as_dagster_failures():
        cancel(context)
        raise StockPipelineError("refused")


@pytest.mark.parametrize(
    "step", [after_the_last_commit, between_two_commits, in_an_error_that_is_retried, in_an_error_that_is_not]
)
def test_a_cancelled_run_ends_as_cancelled(step: Step, instance: dg.DagsterInstance) -> None:
    later: list[str] = []

    @dg.op
    def works(context: dg.OpExecutionContext) -> None:
        step(context)

    @dg.op(ins={"before": dg.In(dg.Nothing)})
    def follows() -> None:
        later.append("ran")

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        follows(works())

    with pytest.raises(DagsterExecutionInterruptedError):
        job.execute_in_process(instance=instance)
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]
    assert later == []


def test_a_run_that_nobody_cancelled_goes_on(instance: dg.DagsterInstance) -> None:
    @dg.op
    def quiet(context: dg.OpExecutionContext) -> None:
        with as_dagster_failures():
            progress(context.log.info, "objects")(1, 1)

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        quiet()

    assert job.execute_in_process(instance=instance).success


def test_outside_a_run_there_is_nothing_to_stop() -> None:
    stop_if_cancelled()
