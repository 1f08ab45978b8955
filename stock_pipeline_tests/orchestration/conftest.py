"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.pipeline import buckets, pipeline

__all__ = ["buckets", "pipeline"]
