"""`stock-pipeline dev` as a person runs it: one at a time, watched, and gone when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.local import running
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.local.dev.session import found
from stock_pipeline.query import read_prices
from stock_pipeline_tests.support.dev import Background, Command, processes_of
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.xdist_group("dagster")]

RunBackground = Callable[..., Background]


def address(dev: Background) -> str:
    assert dev.says("Ctrl-C to stop"), dev.output
    match = re.search(r"Dagster UI +(http://127\.0\.0\.1:\d+)", dev.output)
    assert match, dev.output
    return match[1]


def test_dev_serves_is_found_and_ends_without_a_trace(
    background: RunBackground, command: Command, home: Path, tmp_path: Path
) -> None:
    dev = background("dev")
    url = address(dev)
    note = found(home)
    assert note is not None
    assert (note.url, note.processor) == (url, "dagster")
    assert Dagster(url).state().loaded

    second = command("dev")
    assert second.returncode == 1
    assert url in second.stderr

    told = command("doctor")
    assert told.returncode == 0, told.stdout
    assert f"{url}: definitions loaded" in told.stdout

    # A file dropped into staging is brought in by the sensor alone.
    file = tmp_path / "AAPL.csv"
    file.write_text("Date,Close\n2024-01-02,10.5\n2024-01-03,11\n")
    assert command("ingest", str(file), "--stage-only").returncode == 0

    def bars() -> int:
        answer = command("sql", "SELECT count(*) AS n FROM price_by_date", "--format", "json")
        return int(json.loads(answer.stdout)[0]["n"])

    assert eventually(lambda: bars() == 2, within=120), dev.output
    assert eventually(lambda: Dagster(url).partitions("price_by_date")["2024"], within=60)

    # A recording is followed into the tables, through Dagster's sensor.
    ticks = tmp_path / "ticks.jsonl"
    quote = '{"T":"q","S":"QXA","bp":1,"bs":1,"ap":2,"as":1,"t":"2024-06-03T15:00:00Z","z":"C"}\n'
    ticks.write_text(quote + "no tick\n")
    nothing = command("stream", "--file", str(ticks))
    assert nothing.returncode == 1
    assert "0 stored, 1 skipped, 1 rejected (1 malformed_json)" in nothing.stdout
    with ticks.open("a") as more:
        more.write('{"event_id":"e1","symbol":"QXA","price":1.5,"produced_at":"2024-06-03T15:00:00Z"}\n')
    sent = command("stream", "--file", str(ticks))
    assert sent.returncode == 0, sent.stderr
    assert "1 stored, 1 skipped, 1 rejected" in sent.stdout

    assert dev.end(signal.SIGINT) == 0, dev.output
    assert processes_of(home) == []
    assert found(home) is None
    assert running(home) is None


def test_the_data_outlives_it_and_other_commands_need_no_dev(
    background: RunBackground, command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = background("dev", "--processor", "lambda")
    address(dev)
    aws = running(home)
    assert aws is not None
    assert aws.processor == "lambda"
    staging = S3Store(aws.outputs["StagingBucket"], aws.client("s3"))
    staging.put("daily_prices/uploads/AAPL.csv", b"Date,Close\n2024-01-02,10.5\n")
    lake = S3Store(aws.outputs["LakeBucket"], aws.client("s3"))
    assert eventually(lambda: list(lake.list("price_by_date/")), within=60)
    assert dev.end(signal.SIGTERM) == 0, dev.output
    assert processes_of(home) == []
    answer = command("sql", "SELECT close FROM price_by_date", "--format", "json")
    assert json.loads(answer.stdout) == [{"close": 10.5}]
    # Nor does a notebook: no setting names an AWS here, so it is the local one.
    for name in [n for n in os.environ if n.startswith(("AWS_", "STOCK_PIPELINE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STOCK_PIPELINE_HOME", str(home))
    before = dict(os.environ)
    assert read_prices("AAPL").close.tolist() == [10.5]
    assert dict(os.environ) == before
    assert processes_of(home) == []


def test_a_process_that_ends_is_named_with_its_log_and_the_rest_is_stopped(
    background: RunBackground, home: Path
) -> None:
    dev = background("dev")
    address(dev)
    daemons = [
        pid
        for pid in pids_of(home)
        if b"stock_pipeline.orchestration.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(daemons) == 1
    os.kill(daemons[0], signal.SIGKILL)
    assert dev.process.wait(60) == 1
    assert "the daemon ended by itself" in dev.output
    assert "daemon.log" in dev.output
    assert processes_of(home) == []


def test_killed_it_leaves_nothing_and_the_next_one_starts(background: RunBackground, home: Path) -> None:
    killed = background("dev")
    address(killed)
    killed.process.kill()
    killed.process.wait()
    assert eventually(lambda: processes_of(home) == [], within=30), processes_of(home)
    following = background("dev")
    address(following)
    assert following.end() == 0


def test_interrupted_while_it_starts_it_leaves_nothing(background: RunBackground, home: Path) -> None:
    dev = background("dev")
    assert dev.says("starting Dagster")
    assert dev.end() == 130
    assert processes_of(home) == []


def test_two_that_want_the_same_port_at_once_get_one_each(
    background: RunBackground, home: Path, new_home: Callable[[str], Path]
) -> None:
    other = new_home("other")
    both = [background("dev", home=each) for each in (home, other)]
    assert address(both[0]) != address(both[1])
    assert [dev.end() for dev in both] == [0, 0]
    assert processes_of(home) + processes_of(other) == []


def test_a_port_that_is_taken_is_said_before_anything_starts(command: Command, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command("dev", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "--port" in done.stderr
    assert processes_of(home) == []


def pids_of(home: Path) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid="], capture_output=True, text=True, check=True).stdout.split()
    found = []
    for pid in listed:
        try:
            if str(home).encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(int(pid))
        except OSError:
            continue
    return found
