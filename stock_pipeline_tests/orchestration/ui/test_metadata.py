"""What runs show of the receipts of their ingests."""

from __future__ import annotations

from stock_pipeline.orchestration.ui.metadata import receipts_metadata
from stock_pipeline.receipts import Receipt

SAID = "looks adjusted for a 2:1 split on 2024-06-10: 140 rows of ABC"


def receipt(source: str, **more: object) -> Receipt:
    return Receipt(source=source, etag="e", table="price_by_date", **more)  # type: ignore[arg-type]


def test_how_sources_were_read_is_shown_once_for_those_that_were_read_alike() -> None:
    shown = receipts_metadata(
        [
            receipt("a.csv", unread=("VWAP", "a|b"), decided={"dates": "spacing"}, nulled={"negative_volume": 2}),
            receipt("b.csv", unread=("VWAP", "a|b"), decided={"dates": "hint", "decimal": "proof"}),
            receipt("c.csv", nulled={"negative_volume": 1, "bad_number": 4}, rescaled=(SAID,), rows=9, conflicts=9),
        ]
    )
    assert shown["nulled"].value == 7
    assert (shown["nulled/negative_volume"].value, shown["nulled/bad_number"].value) == (3, 4)
    assert "| a.csv and 1 more | VWAP, a&#124;b |" in str(shown["unread"].value)
    assert "| a.csv | dates: spacing |" in str(shown["decided"].value)
    assert "| b.csv | dates: hint; decimal: proof |" in str(shown["decided"].value)
    assert f"| c.csv | {SAID} |" in str(shown["rescaled"].value)


def test_what_there_is_nothing_to_say_of_is_not_shown() -> None:
    assert not {"unread", "decided", "rescaled"} & set(receipts_metadata([receipt("a.csv", rows=1, inserted=1)]))
