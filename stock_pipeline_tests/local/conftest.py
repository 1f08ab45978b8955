"""The local AWS itself: the fixtures come from local_aws.py."""

from stock_pipeline_tests.support.local_aws import emulator, installed, local_aws_env, new_stack

__all__ = ["emulator", "installed", "local_aws_env", "new_stack"]
