"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.browser import at, browser, dev
from stock_pipeline_tests.support.local_aws import installed

__all__ = ["at", "browser", "dev", "installed"]
