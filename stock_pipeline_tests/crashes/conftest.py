"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.amounts import amounts
from stock_pipeline_tests.support.local_aws import emulator, installed, local_aws_env, new_stack

__all__ = ["amounts", "emulator", "installed", "local_aws_env", "new_stack"]
