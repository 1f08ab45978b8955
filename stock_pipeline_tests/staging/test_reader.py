"""How raw objects are read: small ones side by side, large ones alone, over-large ones not at all."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from stock_pipeline.errors import FileRefused, FileTooLarge
from stock_pipeline.lake.object_store import StoredObject
from stock_pipeline.staging import reader
from stock_pipeline.staging.reader import each_raw_object
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 6, 3, tzinfo=UTC)
LIMIT = 1000


@pytest.fixture
def staging(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(reader, "ALONE", 100)
    return MemoryStore("staging")


def results(staging: MemoryStore, keys: list[str], unpacked: dict[str, int] | None = None) -> list[str]:
    """What becomes of each key; `unpacked` says how much text an object holds, where that is not its size."""

    def work(found: StoredObject, limit: int) -> str:
        key = found.info.key
        if key == "broken":
            raise FileRefused("it is broken")
        if (unpacked or {}).get(key, found.info.size) > limit:
            raise FileTooLarge(f"more than {limit} bytes of text")
        return f"{key} under {limit}"

    def refused(_: object, why: str, gone: bool) -> str:
        return f"gone: {why}" if gone else why

    return list(each_raw_object(keys, staging, work, refused, max_bytes=LIMIT, readers=4, now=NOW))


def test_results_come_in_the_order_of_the_keys_whatever_their_size(staging: MemoryStore) -> None:
    sizes = {"a": 10, "large": 101, "b": 100, "limit": LIMIT, "over": LIMIT + 1, "broken": 1, "c": 1, "packed": 5}
    for key, size in sizes.items():
        staging.put(key, b"x" * size)
    assert results(staging, [*sizes, "gone"], {"packed": 500}) == [
        "a under 100",
        f"large under {LIMIT}",
        "b under 100",
        f"limit under {LIMIT}",
        "s3://staging/over has 0.0 MiB, over the limit of 0.000953674 MiB for one object; split the file, or "
        "raise STOCK_PIPELINE_MAX_OBJECT_MB (of a deployed stack: the parameter MaxObjectMb)",
        "it is broken",
        "c under 100",
        f"packed under {LIMIT}",
        "gone: s3://staging/gone does not exist",
    ]


def test_what_unpacks_to_more_than_the_limit_is_refused_with_the_reason(staging: MemoryStore) -> None:
    staging.put("bomb", b"x")
    assert results(staging, ["bomb"], {"bomb": LIMIT + 1}) == [f"more than {LIMIT} bytes of text"]


def test_a_large_object_is_worked_on_when_no_other_is(staging: MemoryStore) -> None:
    keys = [f"{n}{kind}" for n in range(6) for kind in ("small", "large")]
    for key in keys:
        staging.put(key, b"x" * (200 if key.endswith("large") else 10))
    busy: set[str] = set()
    seen: list[set[str]] = []
    changing = threading.Lock()

    def work(found: StoredObject, limit: int) -> str:
        with changing:
            busy.add(found.info.key)
            seen.append(set(busy))
        with changing:
            busy.discard(found.info.key)
        return found.info.key

    done = each_raw_object(
        keys, staging, work, lambda _, why, gone: f"gone: {why}" if gone else why, max_bytes=LIMIT, readers=4, now=NOW
    )
    assert list(done) == keys
    assert all(len(together) == 1 for together in seen if any(key.endswith("large") for key in together))
    assert sum(any(key.endswith("large") for key in together) for together in seen) == 6
