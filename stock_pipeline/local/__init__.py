"""The AWS that runs on a laptop: an emulator in an environment of its own, with the project's stack deployed to it.

    environment   installs the emulator and the functions' packages under .local/, from hash-pinned requirement files
    disk          whether there is room left
    folders       the paths under .local/, and the locks
    stack         deploys lambdas/template.yaml; its outputs become settings
    instance      starts, finds, shares and stops the emulator
    emulator      the emulator as a process: how to start it, and when it is ready
    gateway       the emulator's program: what it answers, and how it ends (runs in the emulator's environment)
    dev           what `stock-pipeline dev` runs

Everything is in `.local/` of one folder, the root; `LocalFolders` has all paths. Only S3 objects stay. Queues, streams
and the stack itself are new at each start.

What is imported from here is loaded when it is asked for: the gate of the board, in `gateway`, needs no boto3.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stock_pipeline.local.environment import ensure_environment
    from stock_pipeline.local.folders import LocalFolders, default_root
    from stock_pipeline.local.instance import LocalAws, local_aws, running, start

__all__ = ["LocalAws", "LocalFolders", "default_root", "ensure_environment", "local_aws", "running", "start"]

_HOMES = {"ensure_environment": "environment", "LocalFolders": "folders", "default_root": "folders"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'instance')}"), name)
