"""The planted bugs: there are enough, each still finds its place in the source, and a harmless edit does not count as a
bug.

`make faults` shows that each of them is found: it runs schedules on a copy for each.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stock_pipeline.local.folders import CHECKOUT
from stock_pipeline_tests.faults.mutants import MUTANTS, Mutant, hunt, run_all


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_place_of_a_bug_is_there_and_what_results_is_python(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / mutant.file, copy)
    mutant.mutate(tmp_path)
    assert copy.read_text() != (CHECKOUT / mutant.file).read_text()
    compile(copy.read_text(), mutant.file, "exec")


def test_there_are_enough_of_them() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20


def test_a_bug_whose_place_is_gone_fails_loudly() -> None:
    with pytest.raises(AssertionError, match=r"its text is 0 times in .*merge\.py, not once; write the mutant anew"):
        hunt(replace(MUTANTS[0], file="stock_pipeline/lake/merge.py", old="no such text"))


@pytest.mark.faults
def test_a_bug_is_hunted_down_and_a_change_without_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    bug = next(mutant for mutant in MUTANTS if mutant.name == "only what is new is written")
    none = Mutant("no bug", bug.file, "TRIES = 40\n", "TRIES = 41\n")
    assert run_all(2, (bug, none)) == 1
    told = capsys.readouterr().out
    assert "  1 schedules  only what is new is written: " in told
    assert "NEVER          no bug: NOT FOUND in 160 schedules" in told
