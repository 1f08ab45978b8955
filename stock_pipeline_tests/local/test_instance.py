"""Starting, finding, sharing and stopping: whatever happens to whoever uses it, no process stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Barrier

import pytest

from stock_pipeline.errors import LocalAwsError
from stock_pipeline.local import LocalAws, LocalFolders, instance, local_aws, running, start
from stock_pipeline.local import emulator as emulator_process
from stock_pipeline.local.folders import is_held
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = pytest.mark.live

OWNER = """
import sys, time
from pathlib import Path
from stock_pipeline.local import local_aws, start
root, installed, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if how == "start":
    aws = start(root, installed=installed)
    print(aws.pid, flush=True)
    time.sleep(600)
with local_aws(root, installed=installed) as aws:
    print(aws.pid, flush=True)
    sys.stdin.readline()
"""


def members(group: int) -> list[int]:
    """The processes of a process group; those that have ended and only wait to be collected do not count."""
    found = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [int(pid) for pid, pgid, stat in rows if int(pgid) == group and not stat.startswith("Z")]


def run_function(aws: LocalAws) -> dict[str, object]:
    """Invoke the generator, so that there is a process that a function runs in."""
    payload = json.dumps({"date": "2024-05-01", "symbols": ["AAPL"]})
    functions = aws.client("lambda")
    reply = functions.invoke(FunctionName=aws.outputs["GenerateStockBatchDataFunction"], Payload=payload)
    answer: dict[str, object] = json.load(reply["Payload"])
    assert "FunctionError" not in reply, answer
    return answer


@pytest.fixture
def owner(tmp_path: Path, installed: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs a process that uses the local AWS of tmp_path, and prints the emulator's process id."""
    started: list[subprocess.Popen[str]] = []

    def run(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OWNER, str(tmp_path), str(installed), how]
        process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def printed_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(process.stdout.readline())


def test_stopping_leaves_no_process(tmp_path: Path, installed: Path) -> None:
    aws = start(tmp_path, installed=installed)
    try:
        assert run_function(aws)["rows"] == 1
        assert len(members(aws.pid)) == 2
    finally:
        aws.stop()
    assert members(aws.pid) == []
    assert running(tmp_path) is None
    aws.stop()  # again: nothing to do


def test_what_runs_is_found_and_not_started_twice(tmp_path: Path, installed: Path) -> None:
    assert running(tmp_path) is None
    aws = start(tmp_path, installed=installed)
    try:
        aws.announce("http://127.0.0.1:3000")
        found = running(tmp_path)
        assert found
        assert (found.endpoint, found.env, found.ui) == (aws.endpoint, aws.env, "http://127.0.0.1:3000")
        with pytest.raises(LocalAwsError, match=aws.endpoint):
            start(tmp_path, installed=installed)
        with pytest.raises(LocalAwsError, match="runs with the processor dagster, not lambda"):
            local_aws(tmp_path, processor="lambda", installed=installed).__enter__()
        with local_aws(tmp_path, installed=installed) as shared:
            assert shared.pid == aws.pid
        assert running(tmp_path), "leaving must not stop what somebody else started"
    finally:
        aws.stop()


def test_two_that_start_at_once_share_one(tmp_path: Path, installed: Path) -> None:
    together = Barrier(2, timeout=60)

    def use() -> int:
        together.wait()
        with local_aws(tmp_path, installed=installed) as aws:
            together.wait()
            return aws.pid

    with ThreadPoolExecutor(2) as threads:
        first, second = (future.result() for future in [threads.submit(use), threads.submit(use)])
    assert first == second
    assert members(first) == []


def test_the_last_to_leave_stops_it(
    tmp_path: Path, installed: Path, owner: Callable[..., subprocess.Popen[str]]
) -> None:
    starter = owner("use")
    pid = printed_pid(starter)
    with local_aws(tmp_path, installed=installed) as aws:
        assert aws.pid == pid
        assert starter.communicate("leave\n")[0] == ""
        assert members(pid)
        assert run_function(aws)["sessions"] == 1
    assert members(pid) == []


@pytest.mark.parametrize(
    ("how", "number"), [("start", signal.SIGKILL), ("start", signal.SIGINT), ("use", signal.SIGINT)]
)
def test_no_orphan_however_the_owner_ends(
    how: str, number: signal.Signals, tmp_path: Path, owner: Callable[..., subprocess.Popen[str]]
) -> None:
    process = owner(how)
    pid = printed_pid(process)
    aws = running(tmp_path)
    assert aws
    run_function(aws)
    process.send_signal(number)
    assert process.wait(30) != 0
    assert eventually(lambda: not members(pid) and not running(tmp_path), within=15), "it outlived its owner"


@pytest.mark.parametrize("killed", [False, True])
def test_objects_outlast_a_restart_and_the_stack_is_made_anew(killed: bool, tmp_path: Path, installed: Path) -> None:
    key = "daily_prices/uploads/with space + plus/ü.csv"
    with local_aws(tmp_path, installed=installed) as aws:
        bucket, s3 = aws.outputs["StagingBucket"], aws.client("s3")
        for body in (b"old", b"new"):
            put = s3.put_object(Bucket=bucket, Key=key, Body=body)
        if killed:
            os.killpg(aws.pid, signal.SIGKILL)
    with local_aws(tmp_path, installed=installed) as aws:
        s3 = aws.client("s3")
        found = s3.get_object(Bucket=bucket, Key=key)
        assert (found["Body"].read(), found["ETag"], found["VersionId"]) == (b"new", put["ETag"], put["VersionId"])
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert len(s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]) == 2
        assert run_function(aws)["written"] == 1


def test_objects_of_buckets_with_their_former_names_are_found(tmp_path: Path, installed: Path) -> None:
    with local_aws(tmp_path, installed=installed) as aws:
        bucket = aws.outputs["LakeBucket"]
        aws.client("s3").put_object(Bucket=bucket, Key="price_by_date/year=2024/prices.parquet", Body=b"kept")
    (folder,) = LocalFolders(tmp_path).objects.glob(f"*/{bucket}")
    folder.rename(folder.with_name(bucket.removesuffix("-us-east-1-an")))
    with local_aws(tmp_path, installed=installed) as aws:
        found = aws.client("s3").get_object(Bucket=bucket, Key="price_by_date/year=2024/prices.parquet")
        assert found["Body"].read() == b"kept"


def test_a_stale_state_file_misleads_nobody(tmp_path: Path, installed: Path) -> None:
    folders = LocalFolders(tmp_path)
    with local_aws(tmp_path, installed=installed) as aws:
        left_behind = json.loads(folders.state.read_text()) | {"pid": os.getpid()}
        assert left_behind["endpoint"] == aws.endpoint
    folders.state.write_text(json.dumps(left_behind))
    assert running(tmp_path) is None
    with local_aws(tmp_path, installed=installed) as aws:  # and this process is not taken for the old emulator
        assert aws.pid != os.getpid()


def test_one_that_runs_unseen_is_an_error_with_the_remedy(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_aws(tmp_path, installed=installed) as aws:
        state = LocalFolders(tmp_path).state
        kept = state.read_text()
        state.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(instance, "_STOP_WITHIN", 0.1)
            with pytest.raises(LocalAwsError, match=r"its state\.json is gone; end the programs that use it"):
                start(tmp_path, installed=installed)
        state.write_text(kept)
        assert run_function(aws)["rows"] == 1
    assert members(aws.pid) == []


def test_the_emulator_sees_nothing_of_the_persons_environment(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-real-one")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    with local_aws(tmp_path, installed=installed) as aws:
        listed = subprocess.run(["ps", "eww", "-p", str(aws.pid)], capture_output=True, text=True, check=True).stdout
        assert "GATEWAY_PORT=" in listed, "ps shows no environment here"
        for leaked in ("the-real-one", "hunter2", "/somewhere/else", "STOCK_PIPELINE_"):
            assert leaked not in listed


def test_the_environment_of_a_child_has_this_aws_only(emulator: LocalAws) -> None:
    base = {"PATH": "/bin", "AWS_PROFILE": "production", "AWS_ENDPOINT_URL_S3": "https://elsewhere", "no_proxy": "corp"}
    environ = emulator.environ(base)
    assert {name for name in environ if name.startswith("AWS_")} == {n for n in emulator.env if n.startswith("AWS_")}
    assert environ["no_proxy"] == "corp,127.0.0.1,localhost"
    assert environ["PATH"] == "/bin"


def test_activating_changes_this_process(emulator: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"AWS_PROFILE": "production", "PATH": "/bin"})
    emulator.activate()
    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_ENDPOINT_URL"] == emulator.endpoint


def a_broken_installation(folder: Path, script: str) -> LocalFolders:
    broken = LocalFolders(folder)
    broken.python.parent.mkdir(parents=True)
    broken.python.write_text(f"#!/bin/sh\n{script}\n")
    broken.python.chmod(0o700)
    return broken


def test_an_emulator_that_ends_at_once_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = a_broken_installation(tmp_path / "broken", "echo no such module >&2; exit 3")
    monkeypatch.setattr(instance, "ensure_environment", lambda *_: broken)
    with pytest.raises(LocalAwsError, match=r"(?s)ended while starting.*no such module"):
        start(tmp_path)
    assert running(tmp_path) is None


def test_an_emulator_that_does_not_get_ready_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = a_broken_installation(tmp_path / "broken", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(instance, "ensure_environment", lambda *_: broken)
    monkeypatch.setattr(emulator_process, "_READY_WITHIN", 0.5)
    with pytest.raises(LocalAwsError, match=r"not ready within .*/aws\.log"):
        start(tmp_path)
    assert members(int((tmp_path / "pid").read_text())) == []


def test_a_stack_that_fails_leaves_nothing_running(tmp_path: Path, installed: Path) -> None:
    with pytest.raises(LocalAwsError, match="LogRetentionDays"):
        start(tmp_path, installed=installed, parameters={"LogRetentionDays": "2"})
    assert running(tmp_path) is None
    assert not is_held(LocalFolders(tmp_path).instance_lock)
