"""The runner of cases: each part of a case can fail, and says what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline_tests.cases import KINDS, Case, cases
from stock_pipeline_tests.cases.__main__ import main
from stock_pipeline_tests.cases.judge import complaint

BARS = (
    b"symbol,date,open,high,low,close,volume\n"
    b"AAA,2024-01-02,1,3,1,2,10\nAAA,2024-01-03,1,3,1,2.5,\nAAA,soon,1,3,1,2,10\n"
)
BAR = {"symbol": "AAA", "date": "2024-01-02", "close": 2, "volume": 10}
NEXT = {"symbol": "AAA", "date": "2024-01-03", "close": 2.5, "volume": None}
TICKS = b"".join(
    b'{"event_id":"%d","symbol":"AAA","price":%d,"produced_at":"2024-06-03T15:00:00.5Z"}\n' % pair
    for pair in ((1, 5), (2, 5), (3, 7))
)
TICK = {"symbol": "AAA", "price": 5, "size": None, "produced_at": "2024-06-03T15:00:00.5Z"}
LAST = TICK | {"price": 7}
REFUSED = b"nothing\nof the kind\n"

DAILY_HOLDS = [
    {"stored": [BAR, NEXT], "rejected": {"bad_date": 1, "conflict": 0}},
    {"stored": [{"close": 2.5}], "only": False, "absent": [{"symbol": "BBB"}]},
]
DAILY_DOES_NOT = [
    ({"stored": [BAR]}, "stored has 2 rows, not 1"),
    ({"stored": [BAR, NEXT | {"close": 2.51}]}, "stored has no AAA 2024-01-03 2.51 null, but AAA 2024-01-03 2.5 null"),
    ({"stored": [BAR | {"volume": None}, NEXT]}, "stored has no AAA 2024-01-02 2 null"),
    ({"stored": [BAR, BAR, NEXT]}, "stored has no AAA 2024-01-02"),
    ({"absent": [{"date": "2024-01-02"}]}, "2024-01-02 is stored"),
    ({"rejected": {"bad_date": 2}}, "rejected bad_date 1, not 2"),
    ({"nulled": {"negative_volume": 1}}, "nulled negative_volume 0, not 1"),
    ({"unread": ["VWAP"]}, "not named as unread: VWAP"),
    ({"refused": "date"}, "not refused"),
]
TICKS_HOLD = [
    {"history": [TICK, TICK, LAST], "latest": [{"price": 7}], "skipped": 0},
    # The row that two expected ones fit is left to the one that has no other.
    {"history": [{"price": 5}, {"symbol": "AAA"}, {"price": 5}]},
]
TICKS_DO_NOT = [
    ({"history": [TICK, LAST]}, "history has 3 rows, not 2"),
    ({"history": [TICK, TICK, LAST | {"produced_at": "2024-06-03T15:00:00.4Z"}]}, "history has no AAA 7"),
    ({"latest": []}, "latest has 1 rows, not 0"),
    ({"skipped": 1}, "skipped 0, not 1"),
]


def write(folder: Path, kind: str, data: bytes, case: dict[str, Any], name: str = "1-made") -> None:
    place = folder / kind
    place.mkdir(exist_ok=True)
    (place / f"{name}.{'csv' if kind == 'daily' else 'jsonl'}").write_bytes(data)
    (place / f"{name}.json").write_text(json.dumps({"case": "made for this test", **case}))


def said(folder: Path, kind: str, data: bytes, *alternatives: dict[str, Any], **case: Any) -> str | None:
    write(folder, kind, data, {"expect": list(alternatives), **case})
    return complaint(cases(folder)[0])


@pytest.mark.parametrize("expected", DAILY_HOLDS)
def test_daily_prices_that_are_as_expected_hold(tmp_path: Path, expected: dict[str, Any]) -> None:
    assert said(tmp_path, "daily", BARS, expected) is None


@pytest.mark.parametrize(("expected", "words"), DAILY_DOES_NOT)
def test_daily_prices_that_are_not_do_not(tmp_path: Path, expected: dict[str, Any], words: str) -> None:
    assert words in str(said(tmp_path, "daily", BARS, expected))


@pytest.mark.parametrize("expected", TICKS_HOLD)
def test_ticks_that_are_as_expected_hold(tmp_path: Path, expected: dict[str, Any]) -> None:
    assert said(tmp_path, "ticks", TICKS, expected, now="2024-06-03T16:00:00Z") is None


@pytest.mark.parametrize(("expected", "words"), TICKS_DO_NOT)
def test_ticks_that_are_not_do_not(tmp_path: Path, expected: dict[str, Any], words: str) -> None:
    assert words in str(said(tmp_path, "ticks", TICKS, expected, now="2024-06-03T16:00:00Z"))


def test_one_alternative_that_holds_is_enough_and_each_that_does_not_is_told(tmp_path: Path) -> None:
    assert said(tmp_path, "daily", BARS, {"stored": []}, {"stored": [BAR, NEXT]}) is None
    assert " | or: not refused" in str(said(tmp_path, "daily", BARS, {"stored": []}, {"refused": "x"}))


def test_a_refusal_must_be_expected_and_say_what_is(tmp_path: Path) -> None:
    assert said(tmp_path, "daily", REFUSED, {"refused": "one column|NOTHING"}) is None
    assert "/timezone/ does not match: " in str(said(tmp_path, "daily", REFUSED, {"refused": "timezone"}))
    assert "refused: " in str(said(tmp_path, "daily", REFUSED, {"stored": []}))


def test_the_present_of_a_case_is_its_own(tmp_path: Path) -> None:
    expected = {"history": [], "rejected": {"future_timestamp": 3}}
    assert said(tmp_path, "ticks", TICKS, expected, now="2024-06-03T14:00:00Z") is None


def test_files_come_one_after_another_under_their_keys(tmp_path: Path) -> None:
    case = {"key": "daily_prices/uploads/x/AAA.csv", "then": ["then.csv", "1-made.csv"], "symbol": "AAA"}
    write(tmp_path, "daily", b"", {"expect": [{}]}, "then")
    (tmp_path / "daily" / "then.json").unlink()
    (tmp_path / "daily" / "then.csv").write_bytes(b"date,close\n2024-01-02,2.25\n2024-01-04,4\n")
    rows = [{"close": 2, "source": case["key"]}, {"close": 4, "source": "daily_prices/uploads/x/then.csv"}]
    assert (
        said(tmp_path, "daily", b"date,close\n2024-01-02,2\n", {"stored": rows, "rejected": {"conflict": 1}}, **case)
        is None
    )


def test_a_crash_is_what_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("stock_pipeline_tests.cases.judge.ingest_daily_prices", crash)
    assert said(tmp_path, "daily", BARS, {"stored": []}) == "ZeroDivisionError: by zero"


def test_each_case_that_does_not_hold_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "daily", BARS, {"expect": [{"stored": [BAR, NEXT]}]}, "1-holds")
    write(tmp_path, "ticks", TICKS, {"expect": [{"latest": []}]}, "2-does-not")
    assert main([str(tmp_path)]) == 1
    line, count = capsys.readouterr().out.splitlines()
    assert line.startswith("ticks/2-does-not: latest has 1 rows, not 0")
    assert count == "1 of 2 cases hold"
    (tmp_path / "ticks" / "2-does-not.json").unlink()
    assert main([str(tmp_path)]) == main([str(tmp_path / "daily")]) == 0
    assert capsys.readouterr().out == "1 of 1 cases hold\n" * 2


@pytest.mark.parametrize(
    "case", ["{", "[]", '{"case": "x"}', '{"expect": []}', '{"expect": [{}], "then": ["gone.csv"]}']
)
def test_a_case_that_cannot_be_run_is_told(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    write(tmp_path, "daily", BARS, {})
    (tmp_path / "daily" / "1-made.json").write_text(case)
    assert main([str(tmp_path)]) == 2
    assert "1-made.json is not a case" in capsys.readouterr().err


@pytest.mark.parametrize("case", [case for case in cases() if case.kind == "daily"], ids=str)
def test_what_comes_of(case: Case) -> None:
    assert complaint(case) is None, case.said["case"]


def test_the_projects_own_cases_are_all_there() -> None:
    found = cases()
    assert {case.kind for case in found} == set(KINDS)
    assert all(case.said["case"] for case in found)
    used = {file for case in found for file in case.files}
    folders = {file.parent for file in used}
    assert used == {file for folder in folders for file in folder.iterdir() if file.suffix != ".json"}
