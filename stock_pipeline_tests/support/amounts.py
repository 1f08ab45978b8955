"""Crash tests: the local AWS, and how much of each to do (make crash KILLS=1000 TICKS=…)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from stock_pipeline_tests.support.local_aws import emulator, installed, local_aws_env, new_stack

__all__ = ["emulator", "installed", "local_aws_env", "new_stack"]


@dataclass(frozen=True)
class Amounts:
    """How much to do, by environment variable; the defaults are what CI does."""

    kills: int = 200
    reads: int = 10_000
    rounds: int = 20
    ticks: int = 200_000
    objects: int = 400
    files: int = 20_000
    daemon_kills: int = 0
    seed: int = 1


@pytest.fixture(scope="session")
def amounts() -> Amounts:
    given = {name: os.environ.get(f"CRASH_{name.upper()}", "") for name in Amounts.__dataclass_fields__}
    return Amounts(**{name: int(text) for name, text in given.items() if text})
