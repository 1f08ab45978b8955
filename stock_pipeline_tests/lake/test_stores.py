"""The contract of an object store, held by every one of them: in memory, in a folder, laid over another, and in S3."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import ObjectNotFound, PreconditionFailed, StoreError
from stock_pipeline.lake.folder_store import FolderStore
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.overlay_store import OverlayStore
from stock_pipeline_tests.support.store_contract import CONTRACT, ODD_KEYS, every_version_stays_in_its_order, race

LOCAL = ("memory", "folder", "overlay")


def opened(kind: str, folder: Path) -> ObjectStore:
    if kind == "memory":
        return MemoryStore("lake")
    if kind == "folder":
        return FolderStore(folder / "lake")
    return OverlayStore(MemoryStore("lake"), MemoryStore(), [*ODD_KEYS[::2], "k", "p/2"])


@pytest.fixture(params=[*LOCAL, "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    if request.param != "s3":
        yield opened(request.param, tmp_path)
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        yield S3Store("lake", boto3.client("s3"))


@pytest.mark.parametrize("law", CONTRACT, ids=lambda law: law.__name__)
def test_every_store_keeps_the_contract(law: Callable[[ObjectStore], None], store: ObjectStore) -> None:
    law(store)


@pytest.mark.parametrize("kind", ["memory", "overlay below", "overlay above", "s3"])
def test_a_store_with_versions_keeps_every_version(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    one, other = (MemoryStore("lake", versioned=True) for _ in "ab")
    if kind != "s3":
        store = (
            OverlayStore(one, other, ["k"] if kind == "overlay above" else ["none"])
            if kind.startswith("overlay")
            else one
        )
        every_version_stays_in_its_order(store)
        return
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="lake")
        client.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
        every_version_stays_in_its_order(S3Store("lake", client))
        client.delete_object(Bucket="lake", Key="k")
        assert len(list(S3Store("lake", client).versions("k"))) == 3, "a deleted object keeps its versions"


@pytest.mark.parametrize("kind", LOCAL)
def test_of_threads_that_write_over_the_same_version_one_wins(kind: str, tmp_path: Path) -> None:
    race(opened(kind, tmp_path), [opened(kind, tmp_path)] if kind == "folder" else [])


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("key", ["", "k" * 1025, "株" * 342, "\ud800"])
def test_what_is_no_key_is_refused(kind: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a key"):
        opened(kind, tmp_path).put(key, b"")


def test_the_time_of_an_object_is_that_of_its_last_write(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 dates by the second
    store.put("k", b"1")
    store.put("k", b"2")
    (listed,) = store.list("")
    assert before <= store.get("k").info.modified <= datetime.now(UTC) + timedelta(seconds=1)
    assert listed == store.get("k").info


def test_a_clock_may_be_given(tmp_path: Path) -> None:
    at = datetime(2024, 6, 3, tzinfo=UTC)
    store = MemoryStore(clock=lambda: at)
    store.put("k", b"1")
    assert store.get("k").info.modified == at


# --- the overlay -----------------------------------------------------------------------------------------------------


def test_an_overlay_hides_what_is_below_under_its_keys_and_writes_nothing_there() -> None:
    below, above = MemoryStore("lake"), MemoryStore()
    first = below.put("own", b"below")
    below.put("other", b"1")
    store = OverlayStore(below, above, ["own"])
    assert [info.key for info in store.list("")] == ["other"]
    with pytest.raises(ObjectNotFound):
        store.get("own")
    store.put("own", b"above", if_none_match=True)
    store.put("other", b"2")
    assert [info.key for info in store.list("")] == ["other", "own"]
    assert (below.get("own").info.etag, below.get("other").data, above.get("own").data) == (first, b"2", b"above")


# --- the folder ------------------------------------------------------------------------------------------------------

PARTS = st.text(max_size=12) | st.sampled_from(
    ["", ".", "..", ".store", "a", "a.b", "a%", "%2E", "%-", "%+", "A", "con", "x" * 250, "株" * 90, "\0", "\n", " "]
)
KEYS = (
    st.lists(PARTS, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda key: 0 < len(key.encode("utf-8", "replace")) <= 1024)
    .filter(lambda key: not any("\ud800" <= c <= "\udfff" for c in key))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.dictionaries(KEYS, st.binary(max_size=20), max_size=8))
def test_a_folder_holds_any_keys_side_by_side(
    objects: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("store")
    store, beside = FolderStore(root / "lake"), root / "beside"
    beside.write_bytes(b"not to be touched")
    for key, data in objects.items():
        assert store.put(key, data, if_none_match=True) == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert {info.key: store.get(info.key).data for info in store.list("")} == objects
    assert [info.key for info in store.list("")] == sorted(objects)
    for prefix in {key[: len(key) // 2] for key in objects}:
        assert [i.key for i in store.list(prefix)] == sorted(key for key in objects if key.startswith(prefix))
    assert sorted(path.name for path in root.iterdir()) in (["beside"], ["beside", "lake"])


@pytest.mark.parametrize("key", ["price_by_date/year=2024/prices.parquet", "daily_prices/uploads/BRK.B.csv"])
def test_an_ordinary_key_is_its_path_so_that_files_can_be_copied_in(key: str, tmp_path: Path) -> None:
    path = tmp_path / "lake" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rows")
    store = FolderStore(tmp_path / "lake")
    etag = hashlib.md5(b"rows", usedforsecurity=False).hexdigest()
    assert [(info.key, info.etag, info.size) for info in store.list("")] == [(key, etag, 4)]
    store.put(key, b"more", if_match=etag)
    assert path.read_bytes() == b"more"


def test_what_is_no_file_of_the_store_is_not_listed(tmp_path: Path) -> None:
    for name in (".DS_Store", "no extension", ".git/config.txt", b"\xff.csv".decode("utf-8", "surrogateescape")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    store = FolderStore(tmp_path)
    store.put("a.csv", b"")
    assert [info.key for info in store.list("")] == ["a.csv"]


def test_a_listing_sees_what_was_rewritten_however_soon(tmp_path: Path) -> None:
    store, other = FolderStore(tmp_path), FolderStore(tmp_path)
    for number in range(50):
        etag = other.put("k", b"%02d" % number)
        assert [info.etag for info in store.list("")] == [etag]


def test_a_settled_file_is_recognized_by_its_time_and_a_rewritten_one_is_read_again(tmp_path: Path) -> None:
    store, path = FolderStore(tmp_path), tmp_path / "k.csv"
    first = store.put("k.csv", b"1")
    hour_ago = path.stat().st_mtime - 3600

    def listed(data: bytes, time: float) -> str:
        path.write_bytes(data)
        os.utime(path, (time, time))
        (info,) = store.list("")
        return info.etag

    assert listed(b"1", hour_ago) == first
    assert listed(b"2", hour_ago) == first, "as if untouched: size and time are the same, so its content is not read"
    assert listed(b"2", hour_ago + 1) == store.get("k.csv").info.etag != first


def test_a_put_that_fails_leaves_the_object_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    store.put("k", b"1")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "sync", full)
        with pytest.raises(OSError, match="No space"):
            store.put("k", b"2")
    with pytest.raises(PreconditionFailed):
        store.put("k", b"2", if_none_match=True)
    assert store.get("k").data == b"1"
    assert [path.name for path in (tmp_path / ".store").iterdir() if "lock" not in path.name] == []


def test_processes_that_write_over_the_same_version_lose_nothing(tmp_path: Path) -> None:
    """Each adds its lines one by one, under compare-and-swap."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom stock_pipeline_tests.support.store_contract import append\n"
        "from stock_pipeline.lake.folder_store import FolderStore\n"
        "append(FolderStore(Path(sys.argv[1])), 'k', sys.argv[2], 25)\n"
    )
    store = FolderStore(tmp_path)
    store.put("k", b"")
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    lines = store.get("k").data.decode().split()
    assert sorted(lines) == sorted(f"{n}-{at}" for n in range(4) for at in range(25))
