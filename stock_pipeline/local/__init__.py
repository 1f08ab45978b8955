"""The AWS that runs on a laptop: an emulator in an environment of its own, with the project's stack deployed to it.

    environment   what gets installed under .local/, from hash-pinned requirement files
    packages      the code of each Lambda function: its folder and the modules of stock_pipeline that it imports
    stack         lambdas/template.yaml, deployed; its outputs as settings
    instance      starting, finding, sharing and stopping the emulator
    emulator      the emulator as a process: what it is started with, when it is ready
    gateway       its own program: what it answers, and how it ends (runs in the emulator's environment)

Everything lives in `.local/` of one folder, the root: `LocalFolders` names it all. Only S3 objects last; queues,
streams and the stack itself are made anew at each start.
"""

from stock_pipeline.local.environment import ensure_environment
from stock_pipeline.local.folders import LocalFolders, default_root
from stock_pipeline.local.instance import LocalAws, local_aws, running, start

__all__ = ["LocalAws", "LocalFolders", "default_root", "ensure_environment", "local_aws", "running", "start"]
