"""The sensor asks for runs and takes nothing from the queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg
import pytest

from stock_pipeline.definitions import defs
from stock_pipeline.errors import QueueError
from stock_pipeline.orchestration.partitions import DAYS
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.sensor import tick_arrivals
from stock_pipeline_tests.support.stream import Stream, event_of, tick

Tick = Callable[[], "dg.RunRequest | str"]


@pytest.fixture
def evaluate(stream: Stream) -> Tick:
    def evaluate() -> dg.RunRequest | str:
        answer = tick_arrivals(
            dg.build_sensor_context(instance=stream.instance, resources={"buckets": Buckets()}, definitions=defs)
        )
        return str(answer.skip_message) if isinstance(answer, dg.SkipReason) else answer

    return evaluate


def request(stream: Stream, asked: dg.RunRequest | str) -> dg.ExecuteInProcessResult:
    """Run what was asked for, as the daemon would."""
    assert isinstance(asked, dg.RunRequest), asked
    return defs.resolve_job_def("ingest_ticks").execute_in_process(
        instance=stream.instance, tags=asked.tags, partition_key=asked.partition_key
    )


def test_one_run_is_asked_for_all_that_wait(stream: Stream, evaluate: Tick) -> None:
    for n in range(30):
        stream.drop(f"{n}", tick(f"e{n}"))
    asked = evaluate()
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags["stock_pipeline/waiting"] == "30"
    assert DAYS.has_partition_key(str(asked.partition_key))
    assert stream.queue.waiting() == 30, "the sensor receives nothing"
    request(stream, asked)
    assert len(stream.ids()) == 30
    assert "no messages wait" in str(evaluate())


def test_a_run_that_never_began_is_asked_for_again(stream: Stream, evaluate: Tick) -> None:
    stream.drop("a", tick("e1"))
    assert evaluate() == evaluate()
    assert stream.queue.waiting() == 1


def test_a_run_under_way_is_waited_for(stream: Stream, evaluate: Tick) -> None:
    stream.drop("a", tick("e1"))
    job = defs.resolve_job_def("ingest_ticks")
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        run = stream.instance.create_run_for_job(job, status=status)
        assert run.run_id in str(evaluate())
        stream.instance.delete_run(run.run_id)
    failed = stream.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    stream.instance.report_run_failed(failed)
    request(stream, evaluate())
    assert stream.ids() == ["e1"]


def test_what_a_failed_run_held_is_asked_for_when_it_appears_again(stream: Stream, evaluate: Tick) -> None:
    stream.send(event_of("stock_stream/2024/06/03/13/comes-later"))
    request(stream, evaluate())
    assert "no messages wait" in str(evaluate())
    stream.drop("comes-later", tick("e1"), told=False)
    stream.pass_time()
    request(stream, evaluate())
    assert (stream.ids(), stream.held()) == (["e1"], 0)


def test_in_lambda_mode_the_queue_is_left_alone(
    stream: Stream, evaluate: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.drop("a", tick("e1"))
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "lambda")
    assert "STOCK_PIPELINE_PROCESSOR is lambda" in str(evaluate())
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "dagster")
    assert isinstance(evaluate(), dg.RunRequest)


def test_without_a_queue_the_sensor_says_what_is_missing(
    stream: Stream, evaluate: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STOCK_PIPELINE_STREAM_QUEUE_URL")
    assert "STOCK_PIPELINE_STREAM_QUEUE_URL is not set" in str(evaluate())


def test_a_queue_that_is_not_there_is_an_error_that_names_it(
    stream: Stream, evaluate: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_STREAM_QUEUE_URL", stream.queue.url + "-gone")
    with pytest.raises(QueueError, match=r"-gone.*check the setting with its URL"):
        evaluate()


def test_the_run_is_for_a_day_that_exists_at_midnight() -> None:
    midnight = datetime(2025, 1, 1, tzinfo=UTC)
    assert DAYS.get_partition_keys(current_time=midnight)[-1] == "2025-01-01"


def test_after_a_person_cancelled_a_run_the_sensor_waits_and_says_how_to_go_on(stream: Stream, evaluate: Tick) -> None:
    stream.drop("a", tick("e1"))
    job = defs.resolve_job_def("ingest_ticks")
    run = stream.instance.create_run_for_job(job)
    stream.instance.report_run_canceling(run)
    stream.instance.report_run_canceled(run)
    told = str(evaluate())
    assert run.run_id in told
    assert "about 1 messages wait" in told
    assert "launch ingest_ticks" in told
    turned_on = dg.build_sensor_context(
        instance=stream.instance, resources={"buckets": Buckets()}, definitions=defs,
        last_sensor_start_time=datetime.now(UTC).timestamp() + 1,
    )  # fmt: skip
    assert isinstance(tick_arrivals(turned_on), dg.RunRequest)
    job.execute_in_process(instance=stream.instance, partition_key=datetime.now(UTC).date().isoformat())
    stream.drop("b", tick("e2"))
    assert isinstance(evaluate(), dg.RunRequest)
