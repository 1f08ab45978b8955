"""The load program at a size for CI; `make load` runs it at any size."""

from __future__ import annotations

from pathlib import Path

import pytest

from stock_pipeline_tests.crashes.load import Load, run
from stock_pipeline_tests.support.amounts import Amounts
from stock_pipeline_tests.support.local_aws import NewStack

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

WORKERS = 4
MOST_MIB = 2048


def test_late_and_repeated_ticks_by_several_workers_end_as_the_exact_set(
    new_stack: NewStack, amounts: Amounts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = new_stack("dagster", StreamVisibilitySeconds="120")
    load = Load(amounts.ticks, amounts.objects)
    figures = run(stack.aws, load, WORKERS, max(1, amounts.objects // 20), tmp_path / "load.log")
    assert figures.deliveries == amounts.objects + len(range(0, amounts.objects, 5))
    assert figures.snapshot_changes > 1, "the snapshot was read while it changed"
    assert 0 < max(figures.peaks) < MOST_MIB
    with capsys.disabled():
        print(f"\n{figures}")
