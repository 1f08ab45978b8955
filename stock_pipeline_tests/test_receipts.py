"""A receipt adds up or does not exist, and survives its JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.receipts import Receipt

COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, COUNT, COUNT, st.dictionaries(st.sampled_from(["bad_date", "bad_symbol"]), COUNT), COUNT)
def test_a_receipt_survives_its_json(
    inserted: int, duplicates: int, updated: int, conflicts: int, rejected: dict[str, int], skipped: int
) -> None:
    rows = inserted + duplicates + updated + conflicts + sum(rejected.values()) + skipped
    receipt = Receipt(
        source="daily_prices/uploads/ü '\".csv",
        etag="e",
        table="price_by_date",
        rows=rows,
        inserted=inserted,
        duplicates=duplicates,
        updated=updated,
        conflicts=conflicts,
        rejected=rejected,
        skipped=skipped,
        nulled={"negative_volume": skipped},
        unread=("VWAP", "ü"),
        decided={"dates": "spacing"},
        rescaled=("looks adjusted for a 2:1 split on 2024-06-10: 140 rows of AAPL",),
        partitions={"year=2024": inserted},
        started_at=datetime(2024, 1, 1, tzinfo=UTC),
        seconds=0.25,
    )
    assert Receipt.from_json(receipt.to_json()) == receipt
    assert "\n" not in receipt.to_json()
    assert receipt.rejected_rows == sum(rejected.values())


def test_a_receipt_of_before_there_were_updates_is_read() -> None:
    receipt = Receipt(source="s", etag="e", table="t", rows=3, inserted=1, duplicates=2)
    older = {name: value for name, value in json.loads(receipt.to_json()).items() if name != "updated"}
    assert Receipt.from_json(json.dumps(older)) == receipt


def test_counts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="5 rows, 4 explained"):
        Receipt(source="s", etag="e", table="t", rows=5, inserted=4)
    with pytest.raises(ValueError, match="refused file has no rows"):
        Receipt(source="s", etag="e", table="t", rows=1, inserted=1, refused="no date column")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"source": "s"}', json.dumps({"started_at": "2024-01-01T00:00:00+00:00", "what": 1})],
)
def test_what_is_not_a_receipt_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Receipt.from_json(text)


def test_a_receipt_of_an_earlier_version_is_read() -> None:
    receipt = Receipt(source="s", etag="e", table="t", rows=3, inserted=2, skipped=1)
    record = receipt.to_record()
    for name in ("nulled", "unread", "decided", "rescaled"):
        del record[name]
    assert Receipt.from_json(json.dumps(record)) == receipt


@pytest.mark.parametrize(
    "field",
    [
        {"nulled": []},
        {"nulled": {"x": "1"}},
        {"unread": {"x": 1}},
        {"unread": "VWAP"},
        {"unread": [1]},
        {"decided": ["dates"]},
        {"decided": {"dates": 1}},
        {"rescaled": [None]},
        {"rows": True},
        {"loaded_at": "2024-01-01T00:00:00"},
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(field: dict[str, object]) -> None:
    record = Receipt(source="s", etag="e", table="t").to_record() | field
    with pytest.raises(ValueError, match="not a receipt"):
        Receipt.from_json(json.dumps(record))
