"""The emulator's program: what it answers, how it ends, and where it is made to behave more like AWS.

Runs in the emulator's own environment (`python -P gateway.py`), so it imports nothing of this package. The process that
starts it hands over a listening socket and two lock files; see `folders.py` for what the locks mean.

The emulator has no authentication, answers every origin and executes code. So that no web page can reach it through the
browser of the person who runs it, what a browser sends is refused: any request with an `Origin` or `Sec-Fetch-Site`
header, and any for a host that is not this machine (a name that an attacker had resolve to 127.0.0.1).
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gzip
import logging
import os
import signal
import threading
import time
import uuid
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app as emulator
from ministack.core import lambda_runtime
from ministack.services import firehose, kinesis, lambda_svc
from ministack.services import s3 as s3_service
from ministack.services.cloudformation import provisioners

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_OF_A_BROWSER = {b"origin", b"sec-fetch-site"}
_PATIENCE = 10.0  # seconds for an orderly end
_STREAM_KEEPS = 300.0  # seconds
_MIB = 1024 * 1024

log = logging.getLogger("gateway")


async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application: the emulator behind a check of who asks."""
    if scope["type"] in {"http", "websocket"} and (reason := refusal(scope["headers"])):
        await _refuse(scope, send, reason)
    else:
        await emulator(scope, receive, send)


def refusal(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Why a request with these headers is not answered, or None when it may pass."""
    for name, _ in headers:
        if name.lower() in _OF_A_BROWSER:
            return "the local AWS does not answer browsers"
    hosts = [value.decode("latin-1").lower() for name, value in headers if name.lower() == b"host"]
    if len(hosts) != 1 or _without_port(hosts[0]) not in _LOCAL_HOSTS:
        return "the local AWS answers to 127.0.0.1 and localhost only"
    return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": reason.encode()})


def adopt_stored_buckets() -> None:
    """Let a stack take the buckets whose objects lasted from an earlier run, instead of failing on their names."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    create = handlers["create"]

    def create_or_adopt(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        name = props.get("BucketName")
        if name in s3_service._buckets:
            return handlers["update"](name, {}, props, stack_name)
        return create(logical_id, props, stack_name)

    handlers["create"] = create_or_adopt
    provisioners.s3_bucket_name_conflict = lambda _name: None


def queue_invocations(at_once: int) -> None:
    """Run so many functions at once and let the others wait, as AWS does with asynchronous invocations.

    The emulator would start a process for each of a thousand S3 events, or count the ones over its limit as failed.
    """
    slots = threading.BoundedSemaphore(at_once)
    dispatch = lambda_svc._execute_function_dispatch

    def wait_and_dispatch(*arguments: Any) -> Any:
        with slots:
            return dispatch(*arguments)

    lambda_svc._execute_function_dispatch = wait_and_dispatch


def take_numbers_as_text() -> None:
    """Let a template's parameter be the bound of a queue's function: CloudFormation hands numbers over as text."""
    concurrency = lambda_svc._sqs_esm_concurrency

    def as_number(mapping: dict[str, Any], *arguments: Any) -> Any:
        scaling = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return concurrency({**mapping, "ScalingConfig": scaling}, *arguments)

    lambda_svc._sqs_esm_concurrency = as_number


def forget_old_records() -> None:
    """Keep minutes of a Kinesis stream and not a day: Firehose has read a record before its sender has an answer.

    The emulator holds them in memory, and goes through all of them at each call.
    """

    def expire(stream: dict[str, Any]) -> None:
        oldest = time.time() - _STREAM_KEEPS
        for shard in stream["shards"].values():
            records = shard["records"]
            del records[: bisect_left(records, oldest, key=lambda record: record["ApproximateArrivalTimestamp"])]

    kinesis._expire_records = expire


@dataclass
class Buffer:
    """What Firehose has gathered for one object: the records as they came, and since when."""

    stream: dict[str, Any]
    config: dict[str, Any]
    context: Context  # whose account and region it is
    since: time.struct_time
    timer: asyncio.TimerHandle | None = None
    records: list[bytes] = field(default_factory=list)
    size: int = 0


class Delivery:
    """Firehose's way into S3: records are joined as they are until they are large or old enough, whichever is first.

    The emulator would write an object for each. Everything happens on the event loop, which S3 is served from as well.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffers: dict[str, Buffer] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def install(self) -> None:
        firehose._deliver_records_to_s3 = self.deliver

    def deliver(
        self, stream: dict[str, Any], destination: dict[str, Any], records: Sequence[tuple[str, bytes]]
    ) -> None:
        """Take records; callable from any thread."""
        destination["records"].clear()  # the emulator would keep every record here for good
        self._loop.call_soon_threadsafe(self._add, stream, destination["config"], [data for _, data in records])

    async def drain(self) -> None:
        """Write what is gathered, and wait for it."""
        for buffer in list(self._buffers.values()):
            buffer.context.run(self._write, buffer)
        await asyncio.gather(*self._writing)

    def _add(self, stream: dict[str, Any], config: dict[str, Any], records: Sequence[bytes]) -> None:
        hints = config.get("BufferingHints", {})
        for record in records:
            buffer = self._buffers.get(stream["arn"])
            if buffer is None:
                buffer = Buffer(stream, config, copy_context(), time.gmtime())
                buffer.timer = self._loop.call_later(float(hints.get("IntervalInSeconds", 300)), self._write, buffer)
                self._buffers[stream["arn"]] = buffer
            buffer.records.append(record)
            buffer.size += len(record)
            if buffer.size >= float(hints.get("SizeInMBs", 5)) * _MIB:
                self._write(buffer)

    def _write(self, buffer: Buffer) -> None:
        del self._buffers[buffer.stream["arn"]]
        if buffer.timer:
            buffer.timer.cancel()
        task = self._loop.create_task(self._put(buffer))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _put(self, buffer: Buffer) -> None:
        body, stream, config = b"".join(buffer.records), buffer.stream, buffer.config
        at = firehose._java_time("yyyy-MM-dd-HH-mm-ss", buffer.since)
        key = firehose._evaluate_prefix(config.get("Prefix", ""), buffer.since)
        key += f"{stream['name']}-{stream['version']}-{at}-{uuid.uuid4()}"
        if config.get("CompressionFormat") == "GZIP":
            body, key = await asyncio.to_thread(gzip.compress, body, 6), f"{key}.gz"
        path = f"/{firehose._s3_bucket_from_arn(config['BucketARN'])}/{key}"
        headers = {"content-type": "application/octet-stream", "content-length": str(len(body)), "host": "s3.localhost"}
        try:
            status, _, answer = await s3_service.handle_request("PUT", path, headers, body, {}, internal=True)
        except Exception:
            log.exception("Firehose %s lost %d records", stream["name"], len(buffer.records))
            return
        if status >= 300:
            log.error("Firehose %s lost %d records: %s", stream["name"], len(buffer.records), answer)


async def run(descriptor: int, users_lock: str) -> None:
    """Serve on a listening socket until SIGTERM, or until nobody holds the users' lock any more.

    What Firehose has gathered by then is written, so that it outlasts this process with the other objects.
    """
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 3.0
    config.errorlog = "-"

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this, and they stop it

    def wait_for_users() -> None:
        # Blocks until every user has gone, however they went; the kernel gives the lock of a killed process back.
        fcntl.flock(os.open(users_lock, os.O_RDWR), fcntl.LOCK_EX)
        loop.call_soon_threadsafe(ended.set)
        time.sleep(_PATIENCE)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    delivery = Delivery(loop)
    delivery.install()
    threading.Thread(target=wait_for_users, daemon=True).start()
    await serve(gateway, config, shutdown_trigger=ended.wait)
    await delivery.drain()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--socket", type=int, required=True)
    arguments.add_argument("--instance-lock", required=True)
    arguments.add_argument("--users-lock", required=True)
    given = arguments.parse_args()

    alive = os.open(given.instance_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    adopt_stored_buckets()
    take_numbers_as_text()
    forget_old_records()
    queue_invocations(max(2, os.cpu_count() or 2))
    try:
        asyncio.run(run(given.socket, given.users_lock))
    finally:
        lambda_runtime.reset()  # ends the processes that functions run in
        os._exit(0)  # threads that still wait must not keep this process


if __name__ == "__main__":
    main()
