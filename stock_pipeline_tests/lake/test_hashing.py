"""Texts factorize by hashes: exactly what a dictionary tells apart, whatever their lengths and hashing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.lake import hashing
from stock_pipeline.lake.hashing import factorize

# Few letters and lengths, so that many are equal or differ in one byte only.
TEXTS = st.lists(st.text("abé", min_size=8, max_size=20) | st.text("ab", min_size=8, max_size=9), max_size=60)


def chunked(texts: Sequence[str], pieces: int = 3) -> pa.ChunkedArray:
    """The texts in several chunks, the first of them a slice that does not begin where its buffer does."""
    whole = pa.array(["before", *texts], pa.string())[1:]
    step = max(len(texts) // pieces, 1)
    return pa.chunked_array([whole[n : n + step] for n in range(0, len(texts), step)], pa.string())


def check(texts: Sequence[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "WORTH", 1)
        numbers, distinct = factorize(chunked(texts))
    assert len(numbers) == len(texts)
    assert distinct == len(set(texts)) == len(set(numbers.tolist()))
    assert len(set(zip(texts, numbers.tolist(), strict=True))) == distinct
    assert all(0 <= number < distinct for number in numbers.tolist())


@given(TEXTS)
def test_equal_texts_and_no_others_share_a_number(texts: list[str]) -> None:
    check(texts)


@given(st.lists(st.text(max_size=12), max_size=40))
def test_texts_too_short_for_a_hash_are_numbered_too(texts: list[str]) -> None:
    check(texts)


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "hashes", lambda chunk: np.full(len(chunk), 7, np.uint64))
    check(["event-0001", "event-0002", "event-0001", "event-0003"])


def test_a_byte_anywhere_changes_the_hash() -> None:
    text = "0123456789abcdefghijk"
    changed = [text[:n] + "~" + text[n + 1 :] for n in range(len(text))]
    marks = hashing.hashes(pa.array([text, *changed, text[:-1], text + "0"]))
    assert marks is not None
    assert len(set(marks.tolist())) == len(text) + 3


def test_the_ids_of_one_producer_have_as_many_hashes() -> None:
    ids = pa.array([f"1f0c9a3e5b7d2468-{n:010}" for n in range(100_000)])
    marks = hashing.hashes(ids)
    assert marks is not None
    assert len(np.unique(marks)) == 100_000
