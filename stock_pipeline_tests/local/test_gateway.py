"""What the local AWS answers, and what it refuses because a browser may have sent it."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from stock_pipeline.local import LocalAws

pytestmark = pytest.mark.e2e

HEALTH = "/_ministack/health"


def status(aws: LocalAws, method: str = "GET", path: str = HEALTH, **headers: str) -> int:
    address = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_this_machine_is_answered(emulator: LocalAws, host: str) -> None:
    assert status(emulator, Host=host.format(port=urlsplit(emulator.endpoint).port)) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Host": "attacker.example"},
        {"Host": "attacker.example:80"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "localhost.attacker.example"},
        {"Host": "bucket.s3.amazonaws.com"},
        {"Host": "[::1].attacker.example"},
        {"Host": ""},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", HEALTH), ("POST", "/"), ("OPTIONS", "/bucket/key")])
def test_what_a_browser_sends_is_refused(emulator: LocalAws, method: str, path: str, headers: dict[str, str]) -> None:
    assert status(emulator, method, path, **headers) == 403


def test_a_browsers_websocket_is_refused(emulator: LocalAws) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": "https://attacker.example",
    }
    assert status(emulator, "GET", "/_aws/execute-api/any/stage", **headers) == 403


def test_it_listens_on_loopback_only(emulator: LocalAws) -> None:
    assert urlsplit(emulator.endpoint).hostname == "127.0.0.1"
