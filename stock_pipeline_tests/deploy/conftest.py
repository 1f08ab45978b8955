"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.local_aws import installed
from stock_pipeline_tests.support.packages import built, packages, runtime

__all__ = ["built", "installed", "packages", "runtime"]
