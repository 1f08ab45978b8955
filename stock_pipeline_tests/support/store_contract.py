"""The laws of every object store, as functions that take an empty store; and writers that race for an object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from stock_pipeline.errors import ObjectNotFound, ObjectTooLarge, PreconditionFailed
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore

ODD_KEYS = (
    "a",
    "a/b",
    "a/b/c.csv",
    "a//b",
    "a/",
    "a.b",
    "a.b/c",
    "a%2Bb%20c",
    "a+b c",
    "a&b=c?d#e",
    "A",
    "Börse/株価",
    "x" * 300,
    "x" * 300 + "/y",
    ".hidden",
    ".hidden/x",
    "z*:|<>\"'`\\",
)


def to_the_second(info: ObjectInfo) -> ObjectInfo:
    """What S3 says alike in a reply's head, which knows whole seconds, and in a listing."""
    return replace(info, modified=info.modified.replace(microsecond=0))


def an_object_comes_back_with_its_identity(store: ObjectStore) -> None:
    etag = store.put("k", b"rows")
    found = store.get("k")
    assert (found.data, found.info.key, found.info.etag, found.info.size) == (b"rows", "k", etag, 4)
    assert found.info.modified.utcoffset() is not None
    assert '"' not in etag


def the_same_content_has_the_same_etag_and_another_another(store: ObjectStore) -> None:
    assert store.put("k", b"1") == store.put("k", b"1") == store.put("l", b"1") != store.put("k", b"2")


def an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("k", b"")
    assert (store.get("k").data, store.get("k", max_bytes=0).info.size) == (b"", 0)


def what_is_not_there_is_not_found(store: ObjectStore) -> None:
    store.put("k/below", b"1")
    for key in ("nothing", "k", "k/", "k/below/it"):
        with pytest.raises(ObjectNotFound) as raised:
            store.get(key)
        assert raised.value.key == key


def a_larger_object_than_asked_for_is_refused_and_named(store: ObjectStore) -> None:
    etag = store.put("k", b"12345")
    assert store.get("k", max_bytes=5).data == b"12345"
    with pytest.raises(ObjectTooLarge) as raised:
        store.get("k", max_bytes=4)
    assert (raised.value.key, raised.value.etag, raised.value.size) == ("k", etag, 5)


def an_unconditional_write_takes_the_place_of_any(store: ObjectStore) -> None:
    store.put("k", b"1")
    etag = store.put("k", b"2")
    assert (store.get("k").data, store.get("k").info.etag) == (b"2", etag)


def a_write_where_there_is_none_is_made_once(store: ObjectStore) -> None:
    store.put("k", b"1", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        store.put("k", b"2", if_none_match=True)
    assert store.get("k").data == b"1"


def a_write_over_a_version_is_made_over_that_version_only(store: ObjectStore) -> None:
    first = store.put("k", b"1")
    second = store.put("k", b"2", if_match=first)
    with pytest.raises(PreconditionFailed):
        store.put("k", b"3", if_match=first)
    assert (store.get("k").data, store.get("k").info.etag) == (b"2", second)


def a_write_over_a_version_of_nothing_is_not_made(store: ObjectStore) -> None:
    with pytest.raises((ObjectNotFound, PreconditionFailed)):
        store.put("k", b"1", if_match="0" * 32)
    with pytest.raises(ObjectNotFound):
        store.get("k")


def what_was_read_stays_as_it_was(store: ObjectStore) -> None:
    data = bytearray(b"1")
    store.put("k", bytes(data))
    found = store.get("k")
    store.put("k", b"2")
    assert found.data == b"1"


def a_listing_is_in_the_order_of_keys_under_its_prefix_and_after_a_key(store: ObjectStore) -> None:
    keys = [f"p/{n}" for n in (1, 10, 2, 3)]
    for key in ("q", *reversed(keys), "p", "pa/1"):
        store.put(key, b"1")
    assert [info.key for info in store.list("p/")] == keys
    assert [info.key for info in store.list("p/1")] == ["p/1", "p/10"]
    assert [info.key for info in store.list("p/", start_after="p/10")] == ["p/2", "p/3"]
    assert [info.key for info in store.list("p/", start_after="p/2x")] == ["p/3"]
    assert [info.key for info in store.list("", start_after="p/3")] == ["pa/1", "q"]
    assert list(store.list("nothing/at/all")) == []


def a_listing_says_what_a_read_says(store: ObjectStore) -> None:
    for key, data in (("a", b"1"), ("b/c", b"22")):
        store.put(key, data)
    listed = [to_the_second(info) for info in store.list("")]
    assert listed == [to_the_second(store.get(key).info) for key in ("a", "b/c")]


def any_key_is_a_key(store: ObjectStore) -> None:
    for key in ODD_KEYS:
        store.put(key, key.encode(), if_none_match=True)
    assert {key: store.get(key).data for key in ODD_KEYS} == {key: key.encode() for key in ODD_KEYS}
    assert [info.key for info in store.list("")] == sorted(ODD_KEYS)
    assert [info.key for info in store.list("a/")] == sorted(key for key in ODD_KEYS if key.startswith("a/"))


def without_former_versions_the_versions_are_the_objects(store: ObjectStore) -> None:
    for key in ("p/2", "p/1", "q"):
        store.put(key, key.encode())
    assert [info.key for info in store.versions("p/")] == ["p/1", "p/2"]
    assert [info.key for info in store.versions("p/", start_after="p/1")] == ["p/2"]
    assert [info.key for info in store.versions("p/", start_after="p/0")] == ["p/1", "p/2"], "a key that is not there"
    assert [info.key for info in store.versions("p/", start_after="n/0")] == ["p/1", "p/2"], "a key before the prefix"
    assert [store.get(info.key, version=info.version).data for info in store.versions("")] == [b"p/1", b"p/2", b"q"]


def a_version_that_never_was_is_not_found(store: ObjectStore) -> None:
    store.put("k", b"1")
    with pytest.raises(ObjectNotFound) as raised:
        store.get("k", version="3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY")
    assert raised.value.key == "k"


def every_version_stays_in_its_order(store: ObjectStore) -> None:
    """For a store that keeps versions."""
    etags = [store.put("k", data) for data in (b"1", b"2", b"1")]
    store.put("a", b"other")
    first, second, third = (info for info in store.versions("k"))
    assert [first.etag, second.etag, third.etag] == etags
    assert len({first.version, second.version, third.version}) == 3
    assert [store.get("k", version=info.version).data for info in (first, second, third)] == [b"1", b"2", b"1"]
    assert store.get("k").info.version == third.version
    assert [info.key for info in store.versions("")] == ["a", "k", "k", "k"]
    assert [info.key for info in store.versions("", start_after="a")] == ["k", "k", "k"]
    with pytest.raises(ObjectTooLarge):
        store.get("k", version=first.version, max_bytes=0)


CONTRACT: tuple[Callable[[ObjectStore], None], ...] = (
    an_object_comes_back_with_its_identity,
    the_same_content_has_the_same_etag_and_another_another,
    an_empty_object_is_an_object,
    what_is_not_there_is_not_found,
    a_larger_object_than_asked_for_is_refused_and_named,
    an_unconditional_write_takes_the_place_of_any,
    a_write_where_there_is_none_is_made_once,
    a_write_over_a_version_is_made_over_that_version_only,
    a_write_over_a_version_of_nothing_is_not_made,
    what_was_read_stays_as_it_was,
    a_listing_is_in_the_order_of_keys_under_its_prefix_and_after_a_key,
    a_listing_says_what_a_read_says,
    any_key_is_a_key,
    without_former_versions_the_versions_are_the_objects,
    a_version_that_never_was_is_not_found,
)


def append(store: ObjectStore, key: str, name: str, times: int) -> None:
    """Add lines to an object one by one, each over the version that was read."""
    for at in range(times):
        while True:
            found = store.get(key)
            try:
                store.put(key, found.data + f"{name}-{at}\n".encode(), if_match=found.info.etag)
            except PreconditionFailed:
                continue
            break


def race(store: ObjectStore, others: Sequence[ObjectStore] = (), writers: int = 4, times: int = 25) -> None:
    """Writers in threads lose no line of each other, and of those who create an object one does."""
    stores, start = [store, *others], Barrier(writers)
    store.put("k", b"")

    def work(number: int) -> bool:
        mine = stores[number % len(stores)]
        start.wait(timeout=30)
        try:
            mine.put("new", f"{number}".encode(), if_none_match=True)
            created = True
        except PreconditionFailed:
            created = False
        append(mine, "k", str(number), times)
        return created

    with ThreadPoolExecutor(writers) as threads:
        assert list(threads.map(work, range(writers))).count(True) == 1
    lines = store.get("k").data.decode().split()
    assert sorted(lines) == sorted(f"{n}-{at}" for n in range(writers) for at in range(times))
