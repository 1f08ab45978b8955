"""Every request of every kind of ingest × every fault, in memory, and some of these through the real S3Store."""

from __future__ import annotations

import random

import pytest

from stock_pipeline_tests.faults import handlers, http
from stock_pipeline_tests.faults.hub import Hub, Killed, Worker
from stock_pipeline_tests.faults.matrix import CONNECTIONS, SCENARIOS, pairs, run, singles
from stock_pipeline_tests.faults.wire import ATTEMPTS, POSSIBLE, Fault, Log, Wire, WireStore
from stock_pipeline_tests.faults.world import Connect
from stock_pipeline_tests.support.memory_store import MemoryStore


@pytest.mark.faults
@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_fault_at_any_request_breaks_the_promise(scenario: str, connection: str) -> None:
    # The real store is slower. That it makes the same requests, and what it makes of each fault, is shown below.
    plans = list(singles(scenario))[:: 1 if connection == "in memory" else 12]
    done = [(plan, run(scenario, plan, CONNECTIONS[connection])) for plan in plans]
    assert [(plan, r.problems) for plan, r in done if r.problems] == []
    assert [plan for plan, r in done if r.met != list(plan.values())] == []  # each fault did happen
    if connection == "in memory":
        assert {fault for plan, _ in done for fault in plan.values()} >= POSSIBLE["get"] | POSSIBLE["put"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_ingest_makes_the_same_requests_through_either_store(scenario: str) -> None:
    in_memory, through_s3 = (run(scenario, {}, connect) for connect in CONNECTIONS.values())
    assert in_memory == through_s3
    assert len(in_memory.requests) >= 7


def test_pairs_begin_with_every_request_and_go_on_with_every_later_one() -> None:
    plans = list(pairs("daily prices into an empty lake"))
    requests = run("daily prices into an empty lake", {}).requests
    assert {min(plan) for plan in plans} == set(range(len(requests) - 1)) | {len(requests) - 1}
    assert all(len(plan) == 2 for plan in plans)
    for plan in plans[:: len(plans) // 20]:
        assert run("daily prices into an empty lake", plan).problems == []


def answer(connect: Connect, operation: str, fault: Fault, times: int) -> tuple[str, int, bytes]:
    """What a caller gets when its first requests meet a fault, how many requests it took, and what is then stored."""
    hub, bucket = Hub(random.Random(1)), MemoryStore("bucket")
    bucket.put("there", b"ok")
    etag = bucket.objects["there"].info.etag
    log = Log(lambda number, *_: fault if number < times else None)
    store = connect(Wire(bucket, hub, log))
    told: list[str] = []

    def call() -> None:
        try:
            if operation == "put":
                told.append(store.put("there", b"new", if_match=etag))
            elif operation == "get":
                told.append(store.get("there").data.decode())
            else:
                told.append(",".join(info.key for info in store.list("")))
        except Killed:
            told.append("killed")
        except Exception as error:
            told.append(type(error).__name__)

    with handlers.patched(http.waiting(hub)):
        hub.spawn(Worker("caller"), call)
        hub.run()
    return told[0], len(log.requests), bucket.objects["there"].data


@pytest.mark.parametrize("times", [1, ATTEMPTS - 1, ATTEMPTS])
@pytest.mark.parametrize(("operation", "fault"), [(o, f) for o in sorted(POSSIBLE) for f in sorted(POSSIBLE[o])])
def test_the_store_in_memory_does_as_the_real_one(operation: str, fault: Fault, times: int) -> None:
    """What it sends again, how often, and which error is left: one fault or several in a row."""
    if fault in (Fault.OUTAGE, Fault.OUTAGE_AFTER):
        times = 1  # it is every attempt already, which the real client makes without asking the server again
    if fault is Fault.STALE_LIST:
        times = 0  # which listing of the past it is differs from run to run of the seed, not from store to store
    in_memory, through_s3 = (answer(connect, operation, fault, times) for connect in (WireStore, http.connect))
    assert in_memory == through_s3


@pytest.mark.parametrize(
    ("fault", "times", "told", "stored"),
    [
        (Fault.THROTTLED, ATTEMPTS - 1, "22af645d1859cb5ca6da0c484f1f37ea", b"new"),  # pragma: allowlist secret
        (Fault.THROTTLED, ATTEMPTS, "StoreUnavailable", b"ok"),
        (Fault.INTERNAL, ATTEMPTS, "StoreUnavailable", b"ok"),
        (Fault.UNAVAILABLE, ATTEMPTS, "StoreUnavailable", b"ok"),
        (Fault.RESET, ATTEMPTS, "StoreUnavailable", b"ok"),
        (Fault.TIMEOUT, ATTEMPTS, "StoreUnavailable", b"ok"),
        (Fault.CONFLICT, 1, "PreconditionFailed", b"ok"),
        (Fault.PRECONDITION, 1, "PreconditionFailed", b"ok"),
        (Fault.REPLY_LOST, 1, "PreconditionFailed", b"new"),  # sent again, and told that somebody else was first
        (Fault.TIMEOUT_AFTER, 1, "PreconditionFailed", b"new"),
        (Fault.OUTAGE_AFTER, 1, "StoreUnavailable", b"new"),
        (Fault.CRASH_AFTER, 1, "killed", b"new"),
    ],
)
def test_what_the_real_store_makes_of_errors(fault: Fault, times: int, told: str, stored: bytes) -> None:
    assert answer(http.connect, "put", fault, times)[::2] == (told, stored)
