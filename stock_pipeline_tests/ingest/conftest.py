"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.desk import desk
from stock_pipeline_tests.support.lambdas import cold_start, context, s3
from stock_pipeline_tests.support.pipeline import pipeline
from stock_pipeline_tests.support.stream import stream

__all__ = ["cold_start", "context", "desk", "pipeline", "s3", "stream"]
