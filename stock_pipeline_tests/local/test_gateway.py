"""What the local AWS answers, and what it refuses because a browser or another user may have sent it."""

from __future__ import annotations

import http.client
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from stock_pipeline.local import LocalAws, LocalFolders, local_aws

pytestmark = pytest.mark.e2e

HEALTH = "/_ministack/health"


def status(aws: LocalAws, method: str = "GET", path: str = HEALTH, key: str | None = None, **headers: str) -> int:
    """The status of a request that is signed with the key of this start, or with `key`."""
    address = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    try:
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={key or aws.key}/20261130/us-east-1/s3/aws4_request"}
        given = signed | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=given)
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


@pytest.mark.parametrize("key", ["local", "test", "000000000000", "ASIA0123456789ABCDEF"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", HEALTH), ("POST", "/"), ("GET", "/bucket/key"), ("PUT", "/bucket"), ("POST", "/_ministack/reset"),
     ("POST", "/2015-03-31/functions/any/invocations")],
)  # fmt: skip
def test_another_user_of_the_machine_is_refused(emulator: LocalAws, method: str, path: str, key: str) -> None:
    assert status(emulator, method, path, key) == 403


@pytest.mark.parametrize("service", ["s3", "kinesis", "sqs", "lambda", "cloudformation"])
def test_boto3_with_another_key_is_told_the_remedy(emulator: LocalAws, service: str) -> None:
    calls = {"s3": "list_buckets", "kinesis": "list_streams", "sqs": "list_queues", "lambda": "list_functions",
             "cloudformation": "list_stacks"}  # fmt: skip
    with pytest.raises(ClientError) as refused:
        getattr(replace(emulator, key="test").client(service), calls[service])()
    assert "stock-pipeline env" in str(refused.value)
    getattr(emulator.client(service), calls[service])()


def test_the_address_that_was_signed_before_is_answered(emulator: LocalAws) -> None:
    s3, bucket = emulator.client("s3"), emulator.outputs["StagingBucket"]
    s3.put_object(Bucket=bucket, Key="key", Body=b"rows")
    with urlopen(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"})) as answer:
        assert answer.read() == b"rows"


def test_the_key_is_new_at_each_start_and_only_its_user_can_read_it(installed: Path, tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        with local_aws(tmp_path, installed=installed) as aws:
            keys.add(aws.key)
            home = LocalFolders(tmp_path).home
            assert home.stat().st_mode & 0o777 == 0o700
            files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
            assert LocalFolders(tmp_path).state in files
            assert [path for path in files if path.stat().st_mode & 0o077] == []
            assert aws.key not in repr(aws)
    assert len(keys) == 2
    assert all(len(key) > 32 for key in keys)
