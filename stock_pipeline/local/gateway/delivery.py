"""Firehose's delivery to S3: what it gathers, and when it writes an object."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from ministack.services import firehose
from ministack.services import s3 as s3_service

_MIB = 1024 * 1024
_BETWEEN_TRIES = 5.0  # seconds. AWS's Firehose tries for 24 hours; this one until it ends.

log = logging.getLogger("gateway")


@dataclass
class Buffer:
    """The records that Firehose has gathered for one object, as they came, and the time of the first."""

    stream: dict[str, Any]
    config: dict[str, Any]
    context: Context  # whose account and region it is
    since: time.struct_time
    timer: asyncio.TimerHandle | None = None
    records: list[bytes] = field(default_factory=list)
    size: int = 0


class Delivery:
    """Firehose's delivery to S3: joins records until they are large enough or old enough, whichever comes first.

    The emulator itself would write one object per record. Everything happens on the event loop, as S3 does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffers: dict[str, Buffer] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._draining = False
        self._last_try = asyncio.Event()

    def install(self) -> None:
        firehose._deliver_records_to_s3 = self.deliver

    def deliver(
        self, stream: dict[str, Any], destination: dict[str, Any], records: Sequence[tuple[str, bytes]]
    ) -> None:
        """Take records; callable from any thread."""
        destination["records"].clear()  # the emulator would keep every record here for ever
        self._loop.call_soon_threadsafe(self._add, stream, destination["config"], [data for _, data in records])

    async def drain(self) -> None:
        """Write what is gathered, and wait until it is written. What fails then is lost, and the log says so."""
        self._draining = True
        self._last_try.set()
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
        while True:
            status, _, answer = await s3_service.handle_request("PUT", path, headers, body, {}, internal=True)
            if status < 300:
                return
            if status < 500 or self._draining:
                break
            log.error("Firehose %s tries %d records again: %s", stream["name"], len(buffer.records), answer)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._last_try.wait(), _BETWEEN_TRIES)
        log.error("Firehose %s lost %d records: %s", stream["name"], len(buffer.records), answer)
