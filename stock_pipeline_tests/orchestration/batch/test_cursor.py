"""The sensor's memory: nothing is missed, little is handed over twice, and the cursor stays small."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.orchestration.batch import cursor as cursor_module
from stock_pipeline.orchestration.batch.cursor import BUCKETS, RECENT, Batch, Cursor, identity

START = datetime(2024, 1, 2, tzinfo=UTC)


def an_object(key: str, etag: str = "a", seconds: float = 0) -> ObjectInfo:
    return ObjectInfo(key, etag, 10, START + timedelta(seconds=seconds))


def through_cursor(cursor: Cursor) -> Cursor:
    """What the next tick starts from."""
    return Cursor.from_text(cursor.to_text(), 0)


def tick(cursor: Cursor, listed: list[ObjectInfo]) -> tuple[Cursor, list[ObjectInfo]]:
    """Hand over everything that is new, as if its runs had succeeded at once."""
    new = cursor.new(listed)
    cursor.remember(listed, [])
    return through_cursor(cursor), new


def many(count: int, *, apart: float = 1) -> list[ObjectInfo]:
    return [an_object(f"daily_prices/uploads/{n}.csv", f"{n}", n * apart) for n in range(count)]


@pytest.fixture
def handed_over() -> tuple[Cursor, list[ObjectInfo]]:
    """A cursor that knows far more objects than it can remember one by one."""
    objects = many(3 * RECENT)
    cursor, new = tick(Cursor(0), objects)
    assert sorted(new, key=identity) == sorted(objects, key=identity)
    return cursor, objects


def test_what_was_handed_over_is_not_new_again(handed_over: tuple[Cursor, list[ObjectInfo]]) -> None:
    cursor, objects = handed_over
    assert tick(cursor, objects)[1] == []
    assert tick(cursor, objects[::-1])[1] == []


@pytest.mark.parametrize("seconds", [3 * RECENT - 1, 3 * RECENT, 10_000])
def test_arrivals_are_new_even_within_the_second_of_the_last_one(
    handed_over: tuple[Cursor, list[ObjectInfo]], seconds: int
) -> None:
    cursor, objects = handed_over
    arrivals = [an_object(f"{key}.csv", seconds=seconds) for key in ("0", "daily_prices/uploads/9", "z")]
    cursor, new = tick(cursor, objects + arrivals)
    assert sorted(info.key for info in new) == sorted(info.key for info in arrivals)
    assert tick(cursor, objects + arrivals)[1] == []


@pytest.mark.parametrize("at", [0, 5, RECENT, 3 * RECENT - 1])
def test_a_rewritten_object_is_new_whatever_its_age(handed_over: tuple[Cursor, list[ObjectInfo]], at: int) -> None:
    cursor, objects = handed_over
    rewritten = an_object(objects[at].key, "other", 20_000)
    listed = [*objects[:at], *objects[at + 1 :], rewritten]
    cursor, new = tick(cursor, listed)
    assert rewritten in new
    assert len(new) <= 1 + 3 * 3 * RECENT / BUCKETS, "more than about one bucket came again"
    assert tick(cursor, listed)[1] == []


def test_rewriting_a_recent_object_brings_nothing_else_again(handed_over: tuple[Cursor, list[ObjectInfo]]) -> None:
    cursor, objects = handed_over
    rewritten = an_object(objects[-1].key, "other", 20_000)
    assert tick(cursor, [*objects[:-1], rewritten])[1] == [rewritten]


def test_an_object_with_an_old_time_is_not_missed(handed_over: tuple[Cursor, list[ObjectInfo]]) -> None:
    """S3 dates a multipart upload by its beginning: one that took hours appears among much older objects."""
    cursor, objects = handed_over
    slow = an_object("daily_prices/uploads/slow.csv", seconds=3.5)
    cursor, new = tick(cursor, [*objects, slow])
    assert slow in new
    assert tick(cursor, [*objects, slow])[1] == []


def test_deleted_objects_hide_nothing(handed_over: tuple[Cursor, list[ObjectInfo]]) -> None:
    cursor, objects = handed_over
    arrival = an_object("daily_prices/uploads/after.csv", seconds=30_000)
    cursor, new = tick(cursor, [*objects[100:-1], arrival])
    assert arrival in new
    cursor, new = tick(cursor, [arrival])
    assert new == []
    assert tick(cursor, objects)[1], "objects that were deleted and come back are handed over again"


def test_objects_of_an_open_batch_are_neither_new_nor_forgotten() -> None:
    objects = many(5)
    cursor = Cursor(0)
    cursor.batches = [Batch("k", 2024, 2024, 1, tuple(identity(info) for info in objects[:2]))]
    cursor.remember(objects, objects[4:])
    cursor = through_cursor(cursor)
    assert cursor.new(objects) == objects[4:]
    cursor.batches = []
    assert cursor.new(objects) == [*objects[:2], objects[4]]


def test_the_cursor_stays_small() -> None:
    cursor, _ = tick(Cursor(0), many(100_000, apart=0.001))
    assert len(cursor.to_text()) < 9_000


@pytest.mark.parametrize("cursor", [None, "", "{", "[]", "daily_prices/date=2024-01-02/prices.csv", '{"born": 1}'])
def test_a_cursor_that_cannot_be_read_starts_afresh(cursor: str | None) -> None:
    cursor = Cursor.from_text(cursor, 12.5)
    assert cursor == Cursor(12)
    assert len(cursor.new(many(3))) == 3


KEYS = st.sampled_from("abcdefgh")
CHANGES = st.lists(
    st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 5)),
    max_size=6,
)


@given(st.lists(st.tuples(CHANGES, st.integers(0, 4)), min_size=1, max_size=12))
def test_nothing_is_ever_missed(ticks: list[tuple[list[tuple[str, int | None, int]], int]]) -> None:
    """Objects appear, change and vanish with any times, and each tick has room for only some of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cursor_module, "RECENT", 3)  # so that most of what is known is known by its sums alone
        patch.setattr(cursor_module, "BUCKETS", 2)
        cursor, bucket, handed = Cursor(0, sums=(0, 0)), {}, set()

        def step(room: int) -> list[ObjectInfo]:
            nonlocal cursor
            listed = [bucket[key] for key in sorted(bucket)]
            new = cursor.new(listed)
            handed.update(new[:room])
            cursor.remember(listed, new[room:])
            cursor = through_cursor(cursor)
            return new

        for changes, room in ticks:
            for key, content, seconds in changes:
                if content is None:
                    bucket.pop(key, None)
                else:
                    bucket[key] = an_object(key, str(content), seconds)
            step(room)
        for _ in range(20):  # once nothing changes any more, everything is handed over and it ends
            new = step(3)
        assert new == []
        assert {(info.key, info.etag) for info in bucket.values()} <= {(info.key, info.etag) for info in handed}
