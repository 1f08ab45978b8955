"""The fixtures of the tests in this folder."""

from stock_pipeline_tests.support.dev import background, command, environ, home, new_home
from stock_pipeline_tests.support.local_aws import installed

__all__ = ["background", "command", "environ", "home", "installed", "new_home"]
