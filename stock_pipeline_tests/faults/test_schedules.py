"""A hundred schedules, and that a seed always runs the same way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pyarrow as pa
import pytest

from stock_pipeline.local.folders import CHECKOUT
from stock_pipeline_tests.faults.campaign import replay, replay_command, run_schedules, summary
from stock_pipeline_tests.faults.schedules import Outcome, run

BLOCK = 100


@pytest.fixture(autouse=True)
def _one_cpu() -> Iterator[None]:
    before = pa.cpu_count()
    pa.set_cpu_count(1)
    yield
    pa.set_cpu_count(before)


def test_no_schedule_breaks_the_promise() -> None:
    done = [run(seed) for seed in range(1, 1 + BLOCK)]
    broken = [f"{o.problems[0]}\n  replay: {replay_command(o.seed)}" for o in done if o.problems]
    assert not broken, "\n".join(broken)
    # And there was something to break it: without faults, deaths and redeliveries these schedules would prove nothing.
    assert sum(o.faults.total() for o in done) > 3 * BLOCK
    assert sum(o.crashes for o in done) > BLOCK // 4
    assert sum(o.redelivered for o in done) > BLOCK // 2
    assert sum(o.ingests for o in done) > 4 * BLOCK


def trace_of(seeds: range) -> str:
    traces = "\n".join(line for seed in seeds for line in run(seed).trace)
    return hashlib.sha256(traces.encode()).hexdigest()


def test_a_seed_replays_its_schedule_call_by_call_in_any_process() -> None:
    here = trace_of(range(1, 13))
    code = f"from {__name__} import trace_of; print(trace_of(range(1, 13)))"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    there = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=250
    )
    assert there.stdout.strip() == here == trace_of(range(1, 13)), there.stderr


def test_a_failing_schedule_prints_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stock_pipeline_tests.faults import campaign

    def broken(seed: int) -> Outcome:
        if seed == 9:
            raise ValueError("no such version")
        return Outcome(seed, problems=["a row is gone"] if seed == 8 else [], trace=["batch0.1 get staging/x"])

    monkeypatch.setattr(campaign, "run", broken)
    assert run_schedules(7, 4, processes=1) == 2
    told = capsys.readouterr().out
    assert (
        "seed 8: 1 violations, first: a row is gone\n  replay: .venv/bin/python -m stock_pipeline_tests.faults" in told
    )
    assert "--replay 8\n" in told
    assert "seed 9: 1 violations, first: it raised ValueError('no such version')" in told
    assert replay(8) == 1
    assert "batch0.1 get staging/x\nVIOLATION a row is gone" in capsys.readouterr().out


def test_the_summary_counts_what_happened() -> None:
    done = [run(seed) for seed in range(1, 11)]
    told = summary(done)
    assert told.startswith(f"10 schedules: {sum(o.ingests for o in done):,} ingests, ")
    assert f"{sum(o.crashes for o in done)} workers killed, 0 schedules with violations" in told
