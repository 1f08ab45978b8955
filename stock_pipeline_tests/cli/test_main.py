"""What all commands share: help with examples, exit statuses, errors for people, a quick start."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer.main

import stock_pipeline.query
from stock_pipeline.cli.main import app
from stock_pipeline.errors import StoreUnavailable
from stock_pipeline_tests.support.commands import Run

COMMAND = Path(sys.executable).with_name("stock-pipeline")
COMMANDS = [
    *("dev", "demo", "ingest", "backfill", "stream", "board", "watch", "sql"),
    *("rejects list", "rejects replay", "reconcile", "redrive", "remove", "rebuild", "restore", "serve"),
    *("layout", "env", "doctor"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run: Run, command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.exit_code == 0
    assert f"stock-pipeline {command}" in done.stdout.split("Examples:")[1]


def test_the_list_above_is_complete() -> None:
    def names(group: Any, path: str = "") -> list[str]:
        found = []
        for name, command in group.commands.items():
            found += names(command, f"{path}{name} ") if hasattr(command, "commands") else [path + name]
        return found

    assert sorted(names(typer.main.get_command(app))) == sorted(COMMANDS)


@pytest.mark.parametrize("command", ["", "rejects", *COMMANDS])
def test_help_shows_no_python_types(run: Run, command: str) -> None:
    shown = run(*command.split(), "--help").stdout
    assert re.findall(r"<(?:bool|str|int|float|path|file|list)\b[^>]*>", shown) == []


def test_no_command_shows_the_help(run: Run) -> None:
    done = run()
    assert "ingest" in done.stdout


def test_an_unknown_command_or_option_is_status_2(run: Run) -> None:
    assert run("nope").exit_code == 2
    assert run("sql", "--nope").exit_code == 2


def test_the_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip() == version("stock-pipeline")


def broken(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("a mistake of ours")


def test_an_error_that_nobody_expected_is_told_without_a_traceback(
    run: Run, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_pipeline.query, "sql", broken)
    done = run("sql", "SELECT 1")
    assert done.exit_code == 1
    assert "ZeroDivisionError: a mistake of ours" in done.stderr
    assert "--debug" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_lets_the_error_through(run: Run, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_pipeline.query, "sql", broken)
    assert isinstance(run("--debug", "sql", "SELECT 1").exception, ZeroDivisionError)


def test_ctrl_c_is_status_130(run: Run, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(stock_pipeline.query, "sql", interrupted)
    assert run("sql", "SELECT 1").exit_code == 130


def test_a_setting_that_cannot_be_read_is_named(run: Run, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_SEED", "seven")
    done = run("sql", "SELECT 1")
    assert done.exit_code == 1
    assert "STOCK_PIPELINE_SEED" in done.stderr


def test_aws_errors_come_with_a_remedy(run: Run, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("STOCK_PIPELINE_SQL_ENGINE", "athena")
    done = run("sql", "SELECT 1")
    assert done.exit_code == 1
    assert "AWS_REGION" in done.stderr


def test_a_store_that_does_not_answer_is_told_with_where_to_look(
    run: Run, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> NoReturn:
        raise StoreUnavailable("key", "no answer from S3")

    monkeypatch.setattr(stock_pipeline.query, "sql", unavailable)
    assert "no answer from S3; try again, and see `stock-pipeline doctor`" in run("sql", "SELECT 1").stderr


def test_ctrl_c_while_the_command_loads_says_nothing() -> None:
    """Whatever is being imported at that moment."""
    code = (
        "import os, signal, sys\nfrom stock_pipeline import __main__\n"
        "class Slow:\n    def find_spec(self, name, *_):\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n__main__.main()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


def test_help_imports_nothing_heavy() -> None:
    heavy = ("boto3", "pyarrow", "numpy", "pandas", "duckdb", "dagster", "exchange_calendars")
    code = f"import sys, stock_pipeline.cli\nprint([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`stock-pipeline … | head -1`."""
    script = f"{COMMAND} --help | head -1"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "Traceback" not in run.stderr


def test_sigterm_unwinds_what_a_command_started() -> None:
    code = (
        "import os, signal\nfrom stock_pipeline.cli import main as cli\n"
        "def app():\n    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n    finally:\n        print('unwound')\n"
        "cli.app = app\ncli.main()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (128 + signal.SIGTERM, "unwound")
