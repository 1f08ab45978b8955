"""A lake in moto's S3, and an Athena on loopback that reads it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena, on_loopback


@pytest.fixture(scope="module")
def loopback() -> Iterator[FakeAthena]:
    with on_loopback() as service:
        yield service


@pytest.fixture
def athena(loopback: FakeAthena) -> FakeAthena:
    """The service as it begins, over an empty lake."""
    loopback.reset()
    return loopback


@pytest.fixture
def on_athena() -> Settings:
    return Settings(lake_bucket="lake", sql_engine="athena")


@pytest.fixture
def on_duckdb() -> Settings:
    return Settings(lake_bucket="lake", sql_engine="duckdb")
