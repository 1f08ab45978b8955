"""`stock-pipeline board` as a person starts it: its address, its end, a port that is taken, an AWS that is silent."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from stock_pipeline import local
from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.dev import COMMAND, Background, environ_of, home, installed, new_home

__all__ = ["home", "installed", "new_home"]

ADDRESS = re.compile(r"Board  (http://127\.0\.0\.1:\d+/)#([\w-]{43})\n")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of an AWS that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def environ(tmp_path: Path, silent: str) -> dict[str, str]:
    named = {"STOCK_PIPELINE_STAGING_BUCKET": "staging", "STOCK_PIPELINE_LAKE_BUCKET": "lake"}
    access = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}  # pragma: allowlist secret
    return {**environ_of(tmp_path), **named, **access, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": silent}


@contextmanager
def started(environ: dict[str, str], log: Path, *arguments: str) -> Iterator[tuple[Background, str, str]]:
    """The running command, the address of its page and its key."""
    running = Background(["board", *arguments], environ, log)
    try:
        assert running.says("Ctrl-C to stop", within=60), running.output
        found = ADDRESS.search(running.output)
        assert found, running.output
        yield running, found[1], found[2]
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(environ: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    with started(environ, tmp_path / "log") as (running, address, _):
        with urlopen(address) as page:
            assert b"Stock Pipeline board" in page.read()
        assert running.end(number) == 0
        assert running.output.splitlines()[-1] == "stopped"
        assert "Traceback" not in running.output


def test_it_ends_while_a_question_waits_for_an_answer(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path / "log") as (running, address, key):

        def ask() -> None:
            with pytest.raises((OSError, HTTPError)):
                urlopen(Request(f"{address}data/overview", headers={"X-Board-Key": key}), timeout=60)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(3)  # until the question waits for the silent AWS
        before = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - before < 15
        assert "Traceback" not in running.output
        asking.join(20)


def test_each_start_has_a_key_of_its_own(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path / "one") as (_, _, key), started(environ, tmp_path / "two") as (_, _, other):
        assert key != other


def test_a_port_that_is_taken_is_told_with_the_remedy(run: Run, no_aws: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("board", "--port", str(port))
    assert done.exit_code == 1
    assert f"error: port {port} is taken; choose another one with --port, or leave out --port" in done.stderr


def test_settings_that_are_wrong_end_it_with_their_message(environ: dict[str, str]) -> None:
    del environ["STOCK_PIPELINE_LAKE_BUCKET"]
    done = subprocess.run([str(COMMAND), "board"], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "STOCK_PIPELINE_LAKE_BUCKET is not set" in done.stderr


def test_an_aws_that_refuses_is_told_on_the_page(environ: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with started(environ, tmp_path / "log") as (_, address, key):
        with pytest.raises(HTTPError) as raised:
            urlopen(Request(f"{address}data/latest", headers={"X-Board-Key": key}), timeout=60)
        assert raised.value.code == 503
        assert "stock-pipeline doctor" in json.load(raised.value)["error"]


@pytest.mark.live
def test_a_local_aws_is_started_for_it_and_ends_with_it(home: Path, tmp_path: Path) -> None:
    with started(environ_of(home), tmp_path / "log") as (running, address, key):
        with urlopen(Request(f"{address}data/overview", headers={"X-Board-Key": key}), timeout=120) as reply:
            assert "no prices" in json.load(reply)["empty"]["text"]
        assert local.running(home)
        assert running.end() == 0
    assert local.running(home) is None


def test_nothing_heavy_is_loaded_before_the_page_is_served() -> None:
    """The first paint is due within a second of the start."""
    code = (
        "import sys, stock_pipeline.cli.main, stock_pipeline.board.app, stock_pipeline.board.server\n"
        "print([m for m in ('boto3', 'duckdb', 'numpy', 'pandas', 'plotly', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
