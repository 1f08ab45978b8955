"""A thousand cases of the fuzzer, and evidence that it finds planted errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stock_pipeline.errors import FileRefused
from stock_pipeline_tests.corpus import content, files
from stock_pipeline_tests.fuzz.__main__ import failure, run, smallest
from stock_pipeline_tests.fuzz.laws import check
from stock_pipeline_tests.fuzz.mutations import make_case


@pytest.mark.parametrize("seed", range(2))
def test_no_case_breaks_a_law(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(250, seed) == 0, capsys.readouterr().out
    assert "500 of 500 cases" in capsys.readouterr().out


@pytest.mark.parametrize("name", files())
def test_the_corpus_keeps_the_laws(name: str) -> None:
    assert check(name.partition("/")[0], content(name)) in ("read", "refused")


def test_a_case_is_made_by_its_seed_and_number_alone() -> None:
    cases = {
        (kind, seed, n): make_case(kind, seed, n) for kind in ("daily", "ticks") for seed in (1, 2) for n in range(50)
    }
    assert all(make_case(*which) == data for which, data in cases.items())
    assert len(set(cases.values())) > 150


class TestWhatItFinds:
    """Bugs that somebody could make, each found by a law within a few hundred cases."""

    def found(self, kind: str) -> str:
        for number in range(1, 400):
            if error := failure(kind, make_case(kind, 1, number), number):
                return error
        return "nothing"

    def test_a_crash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stock_pipeline.clean.findings.short", lambda text: text[80])
        assert "IndexError" in self.found("daily")

    def test_rows_that_are_dropped_silently(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from stock_pipeline.parse.daily import records

        monkeypatch.setattr(records, "_BLANK", 2)  # a row of two cells counts as a blank line
        assert "not accounted for" in self.found("daily")

    def test_lines_that_are_dropped_silently(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from stock_pipeline.parse.ticks.rowwise import LineReader

        monkeypatch.setattr(LineReader, "_joined", lambda *_: None)
        assert "not accounted for" in self.found("ticks")

    def test_rows_against_the_rules(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stock_pipeline.clean.ticks.canonical", str.strip)
        assert "against the rules" in self.found("ticks")

    def test_values_that_are_left_out_silently(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from stock_pipeline.clean import no_records

        monkeypatch.setattr("stock_pipeline.clean.daily._notes", lambda *_: no_records())
        assert "values are left out, with 0 records" in self.found("daily")

    def test_a_line_that_is_stored_by_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from stock_pipeline.clean.contests import Contest

        def the_first_stays(good: Any, lines: Any, repeated: Any, *_: object) -> Contest:
            later = np.isin(lines, np.sort(repeated)[1:])
            place = np.where(later, -1, np.cumsum(~later) - 1)
            details = ["a later line"] * int(later.sum())
            return Contest(good.filter(pa.array(~later)), ~later, place, lines[later], details)

        monkeypatch.setattr("stock_pipeline.clean.daily.contests", the_first_stays)
        assert "in another order" in self.found("daily")

    def test_what_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def spin(*_: object) -> None:
            while True:
                pass

        monkeypatch.setattr("stock_pipeline_tests.fuzz.laws.SECONDS", 0.2)
        monkeypatch.setattr("stock_pipeline.parse.daily.parser.read_stamps", spin)
        assert "Hangs" in self.found("daily")

    def test_a_failing_case_is_made_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def read(data: bytes, *_: object, **__: object) -> None:
            if b"AAPL" in data:
                raise KeyError("AAPL")
            raise FileRefused("nothing of interest here")

        monkeypatch.setattr("stock_pipeline_tests.fuzz.laws.parse_daily_prices", read)
        assert smallest("daily", content("daily/symbols-traversal.csv") + b"AAPL,1\n" * 9, 1) == b"AAPL"
