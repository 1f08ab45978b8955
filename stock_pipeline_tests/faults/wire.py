"""The store as a worker sees it over the network: requests get faults, and are sent again as S3's client does.

`Wire` is the server's side of one bucket: it takes one request at a time, lets other tasks run before it, and gives it
the fault that is due. `WireStore` is the client's side, an ObjectStore that repeats the requests that S3Store's client
repeats. `http` puts the real S3Store in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stock_pipeline.errors import PreconditionFailed, StoreError, StoreUnavailable
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject
from stock_pipeline_tests.faults.hub import Hub, Killed
from stock_pipeline_tests.support.memory_store import MemoryStore

ATTEMPTS = 6
"""How often S3Store's client sends a request: botocore counts its `max_attempts` without the first."""

PAGE = 3
"""So many objects a page of a listing: small, so that listings take several requests."""


class Fault(StrEnum):
    """What can happen to one request."""

    RESET = "connection reset before the effect"
    REPLY_LOST = "reply lost after the effect"
    TIMEOUT = "timed out before the effect"
    TIMEOUT_AFTER = "timed out after the effect"
    THROTTLED = "429"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    CONFLICT = "409"
    PRECONDITION = "412"
    SLOW = "slow"
    TRUNCATED = "reply cut off"
    STALE_LIST = "stale list"
    CRASH = "crash before the effect"
    CRASH_AFTER = "crash after the effect"
    OUTAGE = "no answer at any attempt"
    OUTAGE_AFTER = "effect, then no answer at any attempt"


GETS = frozenset(Fault) - {Fault.CONFLICT, Fault.PRECONDITION, Fault.STALE_LIST, Fault.OUTAGE_AFTER}
PUTS = frozenset(Fault) - {Fault.TRUNCATED, Fault.STALE_LIST}
LISTS = frozenset(Fault) - {Fault.TRUNCATED, Fault.CONFLICT, Fault.PRECONDITION, Fault.OUTAGE_AFTER}
POSSIBLE = {"get": GETS, "put": PUTS, "list": LISTS}

STATUS = {Fault.THROTTLED: 429, Fault.INTERNAL: 500, Fault.UNAVAILABLE: 503, Fault.CONFLICT: 409,
          Fault.PRECONDITION: 412}  # fmt: skip
_AFTER = {Fault.REPLY_LOST, Fault.TIMEOUT_AFTER, Fault.CRASH_AFTER, Fault.OUTAGE_AFTER}


class NoReply(Exception):
    """The connection broke: the client knows nothing of the effect. `final` says that sending again would not help."""

    def __init__(self, fault: Fault, *, final: bool = False) -> None:
        super().__init__(fault.value)
        self.fault, self.final = fault, final


class Status(Exception):
    """The server answered with an error."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault, self.status = fault, STATUS[fault]


@dataclass
class Log:
    """The requests of a schedule in their order, and the faults they met. `pick` says which fault one meets."""

    pick: Callable[[int, str, str], Fault | None] = lambda number, operation, key: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    faults: Counter[Fault] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


class Wire:
    """The way to a bucket, for every worker."""

    def __init__(self, bucket: MemoryStore, hub: Hub, log: Log) -> None:
        self.bucket, self._hub, self._log = bucket, hub, log
        self._listings: list[list[ObjectInfo]] = [[]]
        self._last: tuple[str, str] | None = None

    def request(
        self, operation: str, key: str, effect: Callable[[], Any], past: Callable[[Any], Any] | None = None
    ) -> Any:
        """Give one request its turn and its fault. Raises NoReply, Status, Killed, or what `effect` raises.

        `past` makes the reply to a listing out of date.
        """
        self._hub.pause()
        number = len(self._log.requests)
        self._log.requests.append((operation, key))
        fault = self._log.pick(number, operation, key)
        self._log.trace.append(f"{self._hub.worker.name} {operation} {self.bucket.bucket}/{key} {fault or ''}")
        if fault is None:
            return effect()
        self._log.faults[fault] += 1
        if fault is Fault.CRASH:
            self.kill()
        if fault in STATUS:
            raise Status(fault)
        if fault in (Fault.RESET, Fault.TIMEOUT, Fault.OUTAGE):
            raise NoReply(fault, final=fault is Fault.OUTAGE)
        late = self._hub.random.random() < 0.5  # a slow request, or a slow reply: of the past, when it comes
        if fault is Fault.SLOW and not late:
            self._hub.pause(self._hub.random.uniform(0.1, 90))
        try:
            result = effect()
        except StoreError:
            if fault in _AFTER and fault is not Fault.CRASH_AFTER:
                raise NoReply(fault, final=fault is Fault.OUTAGE_AFTER) from None  # an error's reply is lost as well
            if fault is not Fault.CRASH_AFTER:
                raise
        if fault is Fault.CRASH_AFTER:
            self.kill()
        if fault in _AFTER or fault is Fault.TRUNCATED:
            raise NoReply(fault, final=fault in (Fault.OUTAGE_AFTER, Fault.TRUNCATED))
        if fault is Fault.SLOW and late:
            self._hub.pause(self._hub.random.uniform(0.1, 90))
        if fault is Fault.STALE_LIST:
            return past(result) if past else self._hub.random.choice(self._listings[-4:])
        return result

    def kill(self) -> None:
        """The process that sends this request is gone."""
        self._hub.worker.alive = False
        raise Killed

    def put(self, key: str, data: bytes, if_match: str | None, if_none_match: bool) -> str:
        def effect() -> str:
            etag = self.bucket.put(key, data, if_match=if_match, if_none_match=if_none_match)
            self._last = key, self.bucket.objects[key].info.version
            self._listings.append([self.bucket.objects[k].info for k in sorted(self.bucket.objects)])
            return etag

        etag: str = self.request("put", key, effect)
        return etag

    def get(self, key: str, max_bytes: int | None = None, version: str = "") -> StoredObject:
        found: StoredObject = self.request(
            "get", key, lambda: self.bucket.get(key, max_bytes=max_bytes, version=version)
        )
        return found

    def versions(self, prefix: str, start_after: str) -> list[ObjectInfo]:
        """The versions of objects, all on one page. A reply of the past lacks the version that was written last."""
        found: list[ObjectInfo] = self.request(
            "list",
            prefix,
            lambda: list(self.bucket.versions(prefix, start_after=start_after)),
            lambda infos: [info for info in infos if (info.key, info.version) != self._last],
        )
        return found

    def page(self, prefix: str, start_after: str) -> tuple[list[ObjectInfo], bool]:
        """A page of a listing, and whether there are more."""
        listing = self.request("list", prefix, lambda: list(self.bucket.list("")))
        found = [info for info in listing if info.key.startswith(prefix) and info.key > start_after]
        return found[:PAGE], len(found) > PAGE


class WireStore:
    """An ObjectStore over the wire that does as S3Store does, without HTTP."""

    def __init__(self, wire: Wire) -> None:
        self.bucket, self._wire = wire.bucket.bucket, wire

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        found: StoredObject = self._sent(key, lambda: self._wire.get(key, max_bytes, version))
        return found

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        etag: str = self._sent(key, lambda: self._wire.put(key, data, if_match, if_none_match))
        return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        more = True
        while more:
            after = start_after
            page, more = self._sent(prefix, lambda: self._wire.page(prefix, after))  # noqa: B023 - called at once
            yield from page
            start_after = page[-1].key if page else ""

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        yield from self._sent(prefix, lambda: self._wire.versions(prefix, start_after))

    def _sent(self, key: str, send: Callable[[], Any]) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return send()
            except NoReply as error:
                if error.final or attempt == ATTEMPTS:
                    raise StoreUnavailable(key, f"{key}: no answer ({error})") from None
            except Status as error:
                if error.status in (409, 412):
                    raise PreconditionFailed(key, f"{key} was written by somebody else ({error})") from None
                if attempt == ATTEMPTS:
                    raise StoreUnavailable(key, f"{key}: answered {error}") from None
        raise AssertionError("every attempt returns or raises")
