"""A running Dagster for a stack, for tests that watch it work.

It is what `stock-pipeline dev` starts. With LIVE_DAGSTER=ecs (`make live DAGSTER=ecs`) it is one as it stays in AWS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.local.dev.session import session
from stock_pipeline.settings import variable
from stock_pipeline_tests.support.deployed import PARTS, PATIENCE, everything
from stock_pipeline_tests.support.local_aws import Stack, eventually


@contextmanager
def dagster_of(stack: Stack, home: Path, processor: str) -> Iterator[Dagster]:
    """Dagster with its home in a folder, on the AWS of a stack, for the length of a block."""
    where = os.environ.get("LIVE_DAGSTER", "")
    assert where in ("", "ecs"), f"LIVE_DAGSTER is {where!r}; it takes ecs, or nothing for that of dev"
    with _deployed(stack, home, processor) if where else _of_dev(stack, home, processor) as dagster:
        yield dagster


@contextmanager
def _of_dev(stack: Stack, home: Path, processor: str) -> Iterator[Dagster]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (stack.env | {"STOCK_PIPELINE_HOME": str(home)}).items():
            patch.setenv(name, value)
        with session(port=None, processor=processor, report=lambda text: None) as running:
            yield running.dagster


@contextmanager
def _deployed(stack: Stack, home: Path, processor: str) -> Iterator[Dagster]:
    with everything(stack, home, {variable("processor"): processor}) as place:
        place.deployed.start(*PARTS)
        assert eventually(place.ticks, within=PATIENCE), place.deployed.tail()
        yield place.dagster
