"""The note of a stopped call: it is of one version of one source, and any other or unreadable note says nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from stock_pipeline.errors import PreconditionFailed
from stock_pipeline.ingest.progress import Progress, note_progress, nothing, read_progress
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.schemas import RECORDED, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.memory_store import MemoryStore

SOURCE = ObjectInfo("stock_stream/a", "1", 10, datetime(2024, 6, 3, tzinfo=UTC))
CONFLICT = pa.Table.from_pylist([{"line": 3, "place": 1, "reason": "conflict", "stored": False}], RECORDED)
NOTED = Progress("year=2024/month=06/day=03/1400", CONFLICT)


def noted() -> MemoryStore:
    lake = MemoryStore()
    note_progress(lake, STREAM_PRICES_HISTORY, SOURCE, NOTED)
    return lake


def test_a_note_is_read_as_it_was_written_and_only_for_its_version() -> None:
    other, later = ObjectInfo("b", "1", 1, SOURCE.modified), ObjectInfo(SOURCE.key, "2", 1, SOURCE.modified)
    assert read_progress(noted(), STREAM_PRICES_HISTORY, [other, SOURCE, later]) == [nothing(), NOTED, nothing()]


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 200, b"\xff\xff\xff\xff\0\0"])
def test_an_unreadable_note_says_nothing(data: bytes) -> None:
    lake = noted()
    (key,) = lake.objects
    lake.put(key, data)
    assert read_progress(lake, STREAM_PRICES_HISTORY, [SOURCE]) == [nothing()]


def test_a_note_that_goes_meanwhile_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = noted()
    listed = list(lake.list(""))
    lake.objects.clear()
    monkeypatch.setattr(lake, "list", lambda _: iter(listed))
    assert read_progress(lake, STREAM_PRICES_HISTORY, [SOURCE]) == [nothing()]


def test_of_two_notes_at_the_same_time_one_is_written_again() -> None:
    lake = MemoryStore()

    def refuse(key: str) -> None:
        lake.before_put = lambda _: None
        raise PreconditionFailed(key, "409")

    lake.before_put = refuse
    note_progress(lake, STREAM_PRICES_HISTORY, SOURCE, NOTED)
    assert read_progress(lake, STREAM_PRICES_HISTORY, [SOURCE]) == [NOTED]
