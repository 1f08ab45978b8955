"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.lineage import lineage

__all__ = ["lineage"]
