"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.kinesis import waits

__all__ = ["waits"]
