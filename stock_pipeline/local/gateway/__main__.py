"""The emulator's program: what it answers, and how it ends.

It runs in the emulator's own environment, so this folder imports nothing from stock_pipeline. The process that starts
it passes a listening socket and two lock files; `folders.py` says what the locks mean.

The emulator itself has no authentication, answers every origin and executes code; `access.py` says who may send
requests. It loses what it cannot write, and keeps all bytes in memory; `durable.py` says how objects are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import AUTH
from ministack.app import app as emulator
from ministack.core import lambda_runtime

from . import durable, nearer_aws, roles
from .access import Gate, equal, refused_by_aws
from .delivery import Delivery

_PATIENCE = 10.0  # seconds for an orderly end


def gateway() -> Gate:
    """The ASGI application: checks a request, then passes it to the emulator."""
    key = os.environ["AWS_ACCESS_KEY_ID"]
    return Gate(emulator, lambda scope: refused_by_aws(scope, lambda given: equal(given, key) or roles.issued(given)))


async def run(descriptor: int, users_lock: str) -> None:
    """Serve on a listening socket until SIGTERM, or until no process holds the users' lock any more.

    At the end it writes what Firehose has gathered, so that no records are lost.
    """
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 3.0
    config.errorlog = "-"

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the process that started this one, which then stops it

    def wait_for_users() -> None:
        # Blocks until all users are gone, however they ended: the kernel frees the lock of a killed process.
        fcntl.flock(os.open(users_lock, os.O_RDWR), fcntl.LOCK_EX)
        loop.call_soon_threadsafe(ended.set)
        time.sleep(_PATIENCE)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    delivery = Delivery(loop)
    delivery.install()
    threading.Thread(target=wait_for_users, daemon=True).start()
    await serve(gateway(), config, shutdown_trigger=ended.wait)
    await delivery.drain()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--socket", type=int, required=True)
    arguments.add_argument("--instance-lock", required=True)
    arguments.add_argument("--users-lock", required=True)
    given = arguments.parse_args()

    alive = os.open(given.instance_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    durable.install()
    nearer_aws.reserve_as_the_template_says()
    nearer_aws.take_numbers_as_text()
    nearer_aws.forget_old_records()
    nearer_aws.keep_alarms_on_expressions()
    nearer_aws.look_at_schedules_each_second()
    nearer_aws.unpack_each_package_once(Path(tempfile.mkdtemp(prefix="packages-")))
    nearer_aws.try_throttled_calls_again()
    nearer_aws.lose_no_message()
    roles.give_functions_a_key()
    if AUTH:
        roles.enforce()
    try:
        asyncio.run(run(given.socket, given.users_lock))
    finally:
        lambda_runtime.reset()  # ends the processes that functions run in
        os._exit(0)  # threads that still wait must not keep this process alive
