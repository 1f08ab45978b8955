"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.commands import aws, lake, no_aws, run, stack, staging, vendor_file
from stock_pipeline_tests.support.local_aws import emulator, installed, local_aws_env, new_stack

__all__ = [
    "aws",
    "emulator",
    "installed",
    "lake",
    "local_aws_env",
    "new_stack",
    "no_aws",
    "run",
    "stack",
    "staging",
    "vendor_file",
]
