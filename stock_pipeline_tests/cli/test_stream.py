"""`stock-pipeline stream`: what reaches Kinesis, what is said about it, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest

from stock_pipeline.aws.kinesis import Sent
from stock_pipeline.producer import live
from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.dev import COMMAND, Command, command, environ, home, new_home, processes_of
from stock_pipeline_tests.support.local_aws import Stack, eventually

__all__ = ["command", "environ", "home", "new_home"]

STREAM = "ticks"
TICK = '{"event_id":"%s","symbol":"AAPL","price":1.0,"size":1,"produced_at":"2024-06-03 15:00:00.%06d"}\n'


@pytest.fixture
def kinesis(aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stream that the environment names."""
    monkeypatch.setenv("STOCK_PIPELINE_STREAM_NAME", STREAM)
    client = boto3.client("kinesis")
    client.create_stream(StreamName=STREAM, ShardCount=1)
    return client


def lines_of(kinesis: Any) -> list[bytes]:
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    found: list[bytes] = []
    following = iterator["ShardIterator"]
    while records := (reply := kinesis.get_records(ShardIterator=following))["Records"]:
        found += [line for record in records for line in record["Data"].splitlines(keepends=True)]
        following = reply["NextShardIterator"]
    return found


def ticks_file(folder: Path, number: int = 50) -> Path:
    path = folder / "ticks.jsonl"
    path.write_text("".join(TICK % (n, n) for n in range(number)))
    return path


def test_simulated_ticks_of_the_symbols_asked_for_are_sent_and_counted(run: Run, kinesis: Any) -> None:
    done = run("stream", "--rate", "200", "--seconds", "1", "--symbols", "AAPL,MSFT")
    assert done.exit_code == 0, done.stderr
    ticks = [json.loads(line) for line in lines_of(kinesis)]
    assert len(ticks) == 200
    assert {tick["symbol"] for tick in ticks} == {"AAPL", "MSFT"}
    assert "sent 200 lines in" in done.stdout
    assert "0 retries, 0 failed" in done.stdout
    assert "stock-pipeline watch" in done.stderr
    assert "stock-pipeline rejects list" in done.stderr


def test_faults_are_what_was_asked_for(run: Run, kinesis: Any) -> None:
    done = run("stream", "--rate", "400", "--seconds", "1", "--faults", "duplicates=0.5,malformed=0.2")
    assert done.exit_code == 0, done.stderr
    lines = Counter(lines_of(kinesis))
    assert sum(number > 1 for number in lines.values()) > 100
    assert 1.5 < lines.total() / 400 < 1.9  # each once, a half of them twice, a fifth of them broken as well


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_sent_as_it_is(run: Run, kinesis: Any, tmp_path: Path, packed: bool) -> None:
    file = ticks_file(tmp_path)
    content = file.read_bytes()
    if packed:
        file = tmp_path / "ticks.jsonl.gz"
        file.write_bytes(gzip.compress(content))
    done = run("stream", "--file", file)
    assert done.exit_code == 0, done.stderr
    assert b"".join(lines_of(kinesis)) == content
    assert "sent 50 lines in 1 records" in done.stdout


PRETTY = json.dumps([{"symbol": "QXA", "price": 1.5, "produced_at": "2024-06-03T15:00:00Z"}] * 2, indent=2)


@pytest.mark.parametrize("content", [PRETTY, PRETTY[1:-1].replace("},", "}"), "\ufeff" + PRETTY, "\n[\n{\n"])
def test_a_document_over_several_lines_is_refused_before_anything_is_sent(
    run: Run, kinesis: Any, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "pretty.jsonl"
    file.write_text(content)
    done = run("stream", "--file", file)
    assert done.exit_code == 1
    assert "one record per line" in done.stderr
    assert lines_of(kinesis) == []


def test_seconds_end_a_recording_that_is_sent_at_a_rate(run: Run, kinesis: Any, tmp_path: Path) -> None:
    done = run("stream", "--file", ticks_file(tmp_path, 100_000), "--rate", "100", "--seconds", "0.5")
    assert done.exit_code == 0
    assert 0 < len(lines_of(kinesis)) < 1000


def test_what_the_stream_does_not_take_is_counted_told_and_status_1(
    run: Run, kinesis: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_STREAM_NAME", "nowhere")
    done = run("stream", "--file", ticks_file(tmp_path))
    assert done.exit_code == 1
    assert "sent 0 lines" in done.stdout
    assert "50 failed" in done.stdout
    assert "50 of 50 lines did not reach the stream" in done.stderr
    assert "nowhere" in done.stderr


def test_a_long_wait_shows_how_it_stands(run: Run, kinesis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stock_pipeline.cli.console._BETWEEN_LINES", 0.0)
    done = run("stream", "--rate", "100", "--seconds", "1")
    assert "25 lines sent" in done.stderr
    assert "of 1 s" in done.stderr


def test_without_a_stream_the_setting_is_named(run: Run, aws: None) -> None:
    done = run("stream", "--seconds", "1")
    assert done.exit_code == 1
    assert "STOCK_PIPELINE_STREAM_NAME" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--seconds", "-1"],
        ["--seconds", "inf"],
        ["--faults", "losses=0.1"],
        ["--faults", "late=2"],
        ["--file", "there is none"],
        ["--file", __file__, "--symbols", "AAPL"],
        ["--symbols", " "],
    ],
)
def test_wrong_usage_is_status_2_and_sends_nothing(run: Run, kinesis: Any, wrong: list[str]) -> None:
    assert run("stream", *wrong).exit_code == 2
    assert lines_of(kinesis) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_sends_what_faults_hold_back_and_is_status_0(
    run: Run, kinesis: Any, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    send = live.send
    turns: list[int] = []

    def interrupted(*arguments: Any, **named: Any) -> Sent:
        sent = send(*arguments, **named)
        turns.append(sent.lines)
        if len(turns) == 2:
            os.kill(os.getpid(), number)
            time.sleep(30)  # the signal's handler ends this
        return sent

    monkeypatch.setattr(live, "send", interrupted)
    done = run("stream", "--rate", "400", "--faults", "late=1")
    assert done.exit_code == 0, done.stderr
    assert "0 failed" in done.stdout
    ids = {json.loads(line)["event_id"] for line in lines_of(kinesis)}
    assert len(ids) == 200  # all of both turns, though every line was to be late


@pytest.mark.e2e
def test_without_a_dev_the_tables_have_the_ticks_when_it_ends(command: Command, home: Path, tmp_path: Path) -> None:
    file = ticks_file(tmp_path, 500)
    with file.open("a") as more:
        more.write("no tick\n")
    done = command("stream", "--file", str(file))
    assert done.returncode == 0, done.stderr
    assert processes_of(home) == []
    found = command("sql", "SELECT count(*) AS n FROM stream_prices_history", "--format", "json")
    assert json.loads(found.stdout) == [{"n": 500}]
    assert "AAPL" in command("watch", "--once").stdout
    rejected = command("rejects", "list", "--format", "json")
    assert [row["raw"] for row in json.loads(rejected.stdout)] == ["no tick"]
    assert "500 stored, 0 skipped, 1 rejected (1 malformed_json)" in done.stdout


@pytest.mark.e2e
def test_a_file_without_a_trade_is_told_from_one_that_is_stored(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "quotes.jsonl"
    quote = '{"T":"q","S":"QXA","bp":1,"bs":1,"ap":2,"as":1,"t":"2024-06-03T15:00:00Z","z":"C"}\n'
    file.write_text(quote * 3 + '{"nobody":"knows"}\n')
    done = command("stream", "--file", str(file))
    assert done.returncode == 1
    assert "0 stored, 3 skipped, 1 rejected (1 unknown_message)" in done.stdout
    assert "nothing was stored" in done.stderr
    assert "they are in" not in done.stderr
    with file.open("a") as more:
        more.write(TICK % ("e1", 1))
    again = command("stream", "--file", str(file))
    assert again.returncode == 0, again.stderr
    assert "1 stored, 3 skipped, 1 rejected" in again.stdout


@pytest.mark.e2e
def test_interrupted_as_by_a_person_it_ends_with_its_counts(stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "output"
    with log.open("wb") as output:
        running = subprocess.Popen([str(COMMAND), "stream", "--rate", "50"], stdout=output, stderr=output)
    assert eventually(lambda: "lines sent" in log.read_text()), log.read_text()
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    assert "0 failed" in log.read_text()
    assert "Traceback" not in log.read_text()
