"""A running Dagster for a stack, as `stock-pipeline dev` starts it, for tests that watch it work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.local.dev.session import session
from stock_pipeline_tests.support.local_aws import Stack


@contextmanager
def dagster_of(stack: Stack, home: Path, processor: str) -> Iterator[Dagster]:
    """Dagster with its home in a folder, on the AWS of a stack, for the length of a block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (stack.env | {"STOCK_PIPELINE_HOME": str(home)}).items():
            patch.setenv(name, value)
        with session(port=None, processor=processor, report=lambda text: None) as running:
            yield running.dagster
