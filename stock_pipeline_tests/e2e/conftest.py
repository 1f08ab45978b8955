"""End to end on the local AWS: the fixtures come from local_aws.py and commands.py."""

from stock_pipeline_tests.support.commands import no_aws, run
from stock_pipeline_tests.support.local_aws import emulator, installed, local_aws_env, new_stack

__all__ = ["emulator", "installed", "local_aws_env", "new_stack", "no_aws", "run"]
