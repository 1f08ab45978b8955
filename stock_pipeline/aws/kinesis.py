"""Sends lines to a Kinesis stream: packs them into records, and sends again what the stream did not take.

Kinesis bills each record in units of 25 KB and takes 500 records or 5 MB per call. So one record has many ticks, which
end with newlines. Each tick has an event_id, so a tick that is sent twice is stored once. `producer` decides when lines
are sent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.aws.clients import client_of
from stock_pipeline.errors import NotSent

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

RECORD_BYTES = 25_000
"""A record takes lines up to this size: one PUT payload unit of Kinesis."""

CALL_RECORDS, CALL_BYTES = 500, 5_000_000
MOST_RECORD_BYTES = 1024 * 1024
"""Kinesis takes no larger record; a longer line cannot be sent."""

DEADLINE = 60.0
"""Seconds after which sending gives up lines that the stream does not take."""

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds
_KEY = r'"(?:symbol|sym|S|s|product_id)"\s*:\s*"(?P<key>[^"]{1,64})"'
# Errors that a further try cannot change.
_FINAL = {"ResourceNotFoundException", "AccessDeniedException", "ValidationException", "InvalidSignatureException"}

Record = tuple[str, bytes]
"""A partition key and the bytes of one or more newline-ended lines."""


@dataclass
class Sent:
    """What became of the lines to send, added up over calls.

    `lines`, `records` and `bytes` count what Kinesis acknowledged, `retries` the entries that were sent again, `failed`
    the lines that were given up, for `reason`. `gave_up` says that sending more is of no use: the stream did not take
    the lines before the deadline, or refused all of them.
    """

    lines: int = 0
    records: int = 0
    bytes: int = 0
    retries: int = 0
    failed: int = 0
    reason: str | None = None
    gave_up: bool = False

    def add(self, more: Sent) -> None:
        """Count what another call sent as well."""
        for name in ("lines", "records", "bytes", "retries", "failed"):
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.reason = more.reason or self.reason
        self.gave_up = self.gave_up or more.gave_up


def kinesis_client() -> KinesisClient:
    """A client without retries: `send` repeats only the entries that failed.

    It does not validate parameters, which would cost more than sending (133,000 against 91,000 lines per second and
    core).
    """
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, parameter_validation=False)
    client: KinesisClient = client_of("kinesis", config)
    return client


def pack(lines: Sequence[bytes]) -> list[Record]:
    """Newline-ended lines as records of up to RECORD_BYTES, the lines of one symbol in their order.

    The partition key is the symbol as the line names it, in any of the known message shapes, so that a symbol's ticks
    stay on one shard; lines that name none go together. A line longer than RECORD_BYTES travels alone.
    """
    if not lines:
        return []
    array = pa.array(lines, pa.binary())
    keys = pc.struct_field(pc.extract_regex(array, _KEY), "key").dictionary_encode(null_encoding="encode")
    names = [(key or b"-").decode(errors="replace") for key in keys.dictionary.to_pylist()]
    codes = keys.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = array.take(pa.array(order)).cast(pa.large_binary())
    offsets = np.frombuffer(ordered.buffers()[1], np.int64)[: len(ordered) + 1]
    content = memoryview(ordered.buffers()[2])
    ends = np.append(np.flatnonzero(np.diff(codes[order])) + 1, len(order))

    records: list[Record] = []
    start = 0
    for end in ends.tolist():
        name = names[codes[order[start]]]
        while start < end:
            fits = int(np.searchsorted(offsets, offsets[start] + RECORD_BYTES, side="right")) - 1
            cut = min(max(fits, start + 1), end)
            records.append((name, bytes(content[offsets[start] : offsets[cut]])))
            start = cut
    return records


def send(client: KinesisClient, stream: str, records: Iterable[Record], *, deadline: float = DEADLINE) -> Sent:
    """Send records with PutRecords. Only entries that fail are sent again, with jittered back-off.

    The tries end after `deadline` seconds. Lines that are not acknowledged by then count as failed, with the last
    reason. If the stream does not exist or may not be written to, the lines fail at once.
    """
    sent, until = Sent(), time.monotonic() + deadline
    for call in _calls(records, sent):
        waiting, wait = call, _FIRST_WAIT
        while waiting:
            waiting, final = _put(client, stream, waiting, sent)
            if waiting and (final or time.monotonic() + wait > until):
                sent.failed += sum(data.count(b"\n") for _, data in waiting)
                sent.gave_up = True
                break
            if waiting:
                sent.retries += len(waiting)
                time.sleep(random.uniform(wait / 2, wait))
                wait = min(2 * wait, _LONGEST_WAIT)
    return sent


def _calls(records: Iterable[Record], sent: Sent) -> Iterator[list[Record]]:
    """The records in calls of up to CALL_RECORDS and CALL_BYTES. A record that is too large counts as failed."""
    call: list[Record] = []
    size = 0
    for key, data in records:
        more = len(key.encode()) + len(data)
        if more > MOST_RECORD_BYTES:
            sent.failed += data.count(b"\n")
            sent.reason = f"a line of {len(data):,} bytes; a Kinesis record holds at most {MOST_RECORD_BYTES:,}"
            continue
        if call and (len(call) == CALL_RECORDS or size + more > CALL_BYTES):
            yield call
            call, size = [], 0
        call.append((key, data))
        size += more
    if call:
        yield call


def _put(client: KinesisClient, stream: str, call: list[Record], sent: Sent) -> tuple[list[Record], bool]:
    """One PutRecords; the entries that must be sent again, and whether that is pointless."""
    entries: list[Any] = [{"PartitionKey": key, "Data": data} for key, data in call]
    try:
        answers = client.put_records(StreamName=stream, Records=entries)["Records"]
    except ClientError as error:
        sent.reason = str(error)
        return call, error.response.get("Error", {}).get("Code") in _FINAL
    except BotoCoreError as error:
        sent.reason = str(error)
        return call, False
    failed = [(record, answer) for record, answer in zip(call, answers, strict=True) if "ErrorCode" in answer]
    for _, answer in failed[:1]:
        sent.reason = f"{answer['ErrorCode']}: {answer.get('ErrorMessage', '')}"
    lost = {id(record) for record, _ in failed}
    for record in call:
        if id(record) not in lost:
            sent.records += 1
            sent.lines += record[1].count(b"\n")
            sent.bytes += len(record[1])
    return [record for record, _ in failed], False


def check_sent(sent: Sent) -> None:
    """Raise NotSent, with the count and the reason, if any line was given up."""
    if sent.failed:
        raise NotSent(f"{sent.failed:,} of {sent.lines + sent.failed:,} lines did not reach the stream: {sent.reason}")
