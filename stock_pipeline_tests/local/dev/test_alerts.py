"""`dev` shows each alert once, as its Dagster writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stock_pipeline.local.dev.alerts import Lines, with_alerts
from stock_pipeline_tests.support.dev import Background, Command


def test_only_whole_new_lines_are_shown_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "alerts.log"
    assert [*Lines(path).new()] == []
    path.write_text("old\n")
    lines = Lines(path)
    assert [*lines.new()] == []
    with path.open("a") as file:
        for text, shown in (("one\ntwo", ["one"]), ("", []), (" goes on\nthree\n", ["two goes on", "three"])):
            file.write(text)
            file.flush()
            assert [*lines.new()] == shown
    path.write_text("anew\n")
    assert [*lines.new()] == ["anew"]
    path.unlink()
    assert [*lines.new()] == []


def test_a_file_and_an_address_that_the_environment_names_stay(tmp_path: Path) -> None:
    url = "http://127.0.0.1:3000"
    names = ("STOCK_PIPELINE_ALERTS_FILE", "STOCK_PIPELINE_DAGSTER_URL")
    found = with_alerts({"A": "1", names[0]: " "}, tmp_path, url)
    assert found == {"A": "1", names[0]: str(tmp_path / "alerts.log"), names[1]: url}
    given = {names[0]: "/x/a.log", names[1]: "https://dagster.example"}
    assert with_alerts(given, tmp_path, url) == given


@pytest.mark.live
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("dagster")
def test_a_failed_check_is_shown_in_the_terminal(
    background: Callable[..., Background], command: Command, home: Path, tmp_path: Path
) -> None:
    dev = background("dev")
    assert dev.says("Ctrl-C to stop", within=300), dev.output
    file = tmp_path / "AAPL.csv"
    file.write_text("Date,Close\n2024-01-02,10.5\n2024-01-03,-1\n2024-01-04,-1\n")
    assert command("ingest", str(file), "--stage-only").returncode == 0
    assert dev.says("alert: ", within=240), dev.output
    (line,) = [line for line in dev.output.splitlines() if "alert: " in line and "rejected_share" in line]
    assert "The check price_by_date:rejected_share (partition 2024) failed" in line
    assert "/assets/price_by_date?view=checks&checkDetail=rejected_share" in line
    assert line.partition("alert: ")[2] in (home / ".local" / "alerts.log").read_text()
