"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.stream import stream

__all__ = ["stream"]
