"""`stock-pipeline dev` works, or says why not: for its own pages only, and after what happens to a laptop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline_tests.support.dev import Background, Command, processes_of
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(900), pytest.mark.xdist_group("works")]

RunBackground = Callable[..., Background]

ASLEEP = 125.0  # seconds: longer than each time-out of Dagster's processes
LAUNCH = '{"query": "mutation { launchRun(executionParams: {}) { __typename } }"}'
QUERY = '{"query": "{ __typename }"}'


def address(dev: Background) -> str:
    assert dev.says("Ctrl-C to stop", within=300), dev.output
    match = re.search(r"Dagster UI +(http://127\.0\.0\.1:\d+)", dev.output)
    assert match, dev.output
    return match[1]


def status(url: str, body: str | None = None, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(url, body.encode() if body else None, named), timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def websocket(url: str, origin: str) -> int:
    """The status of opening the websocket of subscriptions: 101 when it opens."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
        "Origin": origin,
    }
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", "/graphql", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def pids_of(home: Path) -> dict[int, str]:
    """The processes of a home, with their command lines."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if str(home).encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def brings_in(command: Command, tmp_path: Path, symbol: str) -> bool:
    """Whether the sensors bring in a file that is dropped now."""
    file = tmp_path / f"{symbol}.csv"
    file.write_text("Date,Close\n2024-01-02,10.5\n")
    assert command("ingest", str(file), "--stage-only").returncode == 0

    def stored() -> bool:
        answer = command("sql", "SELECT count(*) AS n FROM price_by_date WHERE symbol = ?", "--param", symbol,
                         "--format", "json")  # fmt: skip
        return bool(json.loads(answer.stdout)[0]["n"] == 1)

    return eventually(stored, within=300)


def test_no_other_page_commands_the_ui_and_a_dead_code_server_is_started_again(
    background: RunBackground, command: Command, home: Path, tmp_path: Path
) -> None:
    dev = background("dev")
    url = address(dev)
    own = {"Content_Type": "application/json", "Origin": url, "Sec_Fetch_Site": "same-origin"}
    assert status(url) == status(f"{url}/graphql", QUERY, **own) == 200
    assert status(f"{url}/graphql", QUERY, Content_Type="application/json") == 200
    for refused in (
        status(f"{url}/graphql?query=mutation%7BlaunchRun(executionParams:%7B%7D)%7B__typename%7D%7D"),
        status(f"{url}/graphql", LAUNCH, **{**own, "Origin": "https://attacker.example"}),
        status(f"{url}/graphql", LAUNCH, **{**own, "Host": "attacker.example"}),
        status(f"{url}/graphql", LAUNCH, Content_Type="text/plain"),
        status(f"{url}/graphql", "query=mutation", Content_Type="application/x-www-form-urlencoded"),
        status(url, Sec_Fetch_Site="cross-site"),
    ):
        assert refused in {403, 405, 415}
    assert websocket(url, origin=url) == 101
    assert websocket(url, origin="https://attacker.example") == 403

    assert eventually(lambda: all(ticks for ticks, _ in Dagster(url).signs().ticks.values()), within=120)
    inner = [pid for pid, command_line in pids_of(home).items() if "dagster api grpc" in command_line]
    assert inner
    for pid in inner:
        os.kill(pid, signal.SIGKILL)
    assert dev.says("starting the code server again", within=240), dev.output
    assert brings_in(command, tmp_path, "AAPL"), dev.output
    assert dev.process.poll() is None


def test_after_a_long_sleep_it_works_and_without_its_home_it_says_so(
    background: RunBackground, command: Command, home: Path, tmp_path: Path
) -> None:
    dev = background("dev")
    address(dev)
    asleep = [dev.process.pid, *pids_of(home)]
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(ASLEEP)
    for pid in reversed(asleep):
        os.kill(pid, signal.SIGCONT)
    assert brings_in(command, tmp_path, "AAPL"), dev.output
    assert dev.process.poll() is None

    for _ in range(2):  # Dagster still writes into it
        shutil.rmtree(home / ".local" / "dagster", ignore_errors=True)
    assert dev.process.wait(120) == 1
    assert "is gone, so Dagster can keep nothing more" in dev.output
    assert processes_of(home) == []
