"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.desk import desk

__all__ = ["desk"]
