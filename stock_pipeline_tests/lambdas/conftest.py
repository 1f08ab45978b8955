"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.lambdas import cold_start, context, s3

__all__ = ["cold_start", "context", "s3"]
