"""A board over a lake that has some of everything. It only reads, so one serves all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stock_pipeline_tests.support.board import Running, fill, in_moto, serving


@pytest.fixture(scope="module")
def board() -> Iterator[Running]:
    with in_moto():
        fill()
        with serving() as running:
            yield running
