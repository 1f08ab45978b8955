"""Who may send requests to the Dagster UI and to the local AWS, decided by headers alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stock_pipeline.local.gateway.access import Gate, Scope, refused_by_aws, refused_by_board, refused_by_ui

KEY = "LOCAL0123"
SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20261130/us-east-1/s3/aws4_request, Signature=0"}
JSON = {"Content-Type": "application/json"}
HERE = {"Host": "127.0.0.1:3000"}
MUTATION = "query=mutation{launchRun{__typename}}"

# What a page of another place can make a browser send, and what another name for this machine can.
FOREIGN = [
    {"Origin": "https://attacker.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8000"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://127.0.0.1:3000.attacker.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Host": "attacker.example:3000"},
    {"Host": "127.0.0.1.attacker.example"},
    {"Host": "localhost.attacker.example:3000"},
    {"Host": ""},
]


def scope(method: str = "GET", path: str = "/", query: str = "", type_: str = "http", **headers: str) -> Scope:
    given = {"Host": "127.0.0.1:3000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    return {"type": type_, "method": method, "path": path, "query_string": query.encode(), "headers": raw}


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path", "query", "type_"),
    [
        ("GET", "/", "", "http"),
        ("GET", "/graphql", MUTATION, "http"),
        ("POST", "/graphql", "", "http"),
        ("OPTIONS", "/graphql", "", "http"),
        ("POST", "/report_asset_materialization/price_by_date", "", "http"),
        ("GET", "/download_debug/1", "", "http"),
        ("GET", "/graphql", "", "websocket"),
    ],
)
def test_the_ui_refuses_what_another_page_sends(
    method: str, path: str, query: str, type_: str, headers: dict[str, str]
) -> None:
    assert refused_by_ui(scope(method, path, query, type_, **{**JSON, **headers}))


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_ui_executes_no_query_of_an_address(method: str, path: str) -> None:
    assert refused_by_ui(scope(method, path, MUTATION))


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",  # Dagster itself looks for the text anywhere
        "application/graphql",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_check/price_by_date"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_ui_takes_changes_as_json_only(method: str, path: str, kind: str) -> None:
    assert refused_by_ui(scope(method, path, Content_Type=kind))
    assert refused_by_ui(scope(method, path))


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "[::1]:3000", "127.0.0.1"])
def test_the_ui_answers_its_own_pages_and_the_programs_of_this_machine(host: str) -> None:
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    for headers in (own, {"Host": host}, {"Host": host, "Sec_Fetch_Site": "none"}):
        assert refused_by_ui(scope("GET", "/assets", "view=x", **headers)) is None
        assert refused_by_ui(scope("GET", "/graphql", **headers)) is None
        assert (
            refused_by_ui(scope("POST", "/graphql", Content_Type="application/json; charset=utf-8", **headers)) is None
        )
        assert refused_by_ui(scope("GET", "/graphql", type_="websocket", **headers)) is None


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/data/overview", "/plotly.min.js"])
def test_the_board_refuses_what_another_page_sends_even_with_the_key(path: str, headers: dict[str, str]) -> None:
    refusal = refused_by_board(scope("GET", path, **{"X_Board_Key": KEY, **headers}), KEY)
    assert refusal
    assert "board" in refusal.reason


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_board_gives_data_to_who_has_the_key(method: str) -> None:
    assert refused_by_board(scope(method, "/data/latest", X_Board_Key=KEY), KEY) is None
    assert refused_by_board(scope(method, "/"), KEY) is None
    for other in ("", KEY[:-1], KEY + "0", KEY.lower()):
        assert refused_by_board(scope(method, "/data/latest", X_Board_Key=other), KEY)
    assert refused_by_board(scope(method, "/data/latest"), KEY)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_board_only_reads(method: str) -> None:
    assert refused_by_board(scope(method, "/data/latest", X_Board_Key=KEY, **JSON), KEY)
    assert refused_by_board(scope("GET", "/data/latest", type_="websocket", X_Board_Key=KEY), KEY)


@pytest.mark.parametrize("headers", FOREIGN)
def test_the_local_aws_refuses_browsers_even_with_the_key(headers: dict[str, str]) -> None:
    assert refused_by_aws(scope("PUT", "/bucket/key", **{**SIGNED, **headers}), KEY.__eq__)


@pytest.mark.parametrize("start", ["AWS4-HMAC-SHA256 Credential={}/20261130/us-east-1/s3/aws4_request, Signature=0"])
@pytest.mark.parametrize("key", ["", "test", "local", "000000000000", KEY[:-1], KEY + "0", KEY.lower()])
def test_the_local_aws_refuses_other_keys(key: str, start: str) -> None:
    assert refused_by_aws(scope("POST", "/", Authorization=start.format(key)), KEY.__eq__)
    assert refused_by_aws(scope("GET", "/b/k", f"X-Amz-Credential={key}%2F2026"), KEY.__eq__)
    assert refused_by_aws(scope("GET", "/b/k", f"X-Amz-Credential={key}%2F2026", **SIGNED), KEY.__eq__)
    assert refused_by_aws(scope("GET", "/b/k", f"AWSAccessKeyId={key}"), KEY.__eq__)


def test_the_local_aws_answers_who_has_the_key() -> None:
    assert refused_by_aws(scope("PUT", "/bucket/key", **SIGNED), KEY.__eq__) is None
    assert refused_by_aws(scope("GET", "/b/k", f"X-Amz-Credential={KEY}%2F2026%2Fx"), KEY.__eq__) is None
    assert refused_by_aws(scope("GET", "/_ministack/ready"), KEY.__eq__) is None
    for method, path in [("POST", "/_ministack/ready"), ("GET", "/_ministack/health"), ("GET", "/"), ("POST", "/")]:
        assert refused_by_aws(scope(method, path), KEY.__eq__)


@pytest.mark.parametrize(
    ("headers", "kind", "begins"),
    [
        ({}, b"text/plain; charset=utf-8", b"the local AWS does not know"),
        ({"Authorization": "AWS4 Credential=x/"}, b"application/xml", b"<ErrorResponse><Error><Code>InvalidAccess"),
        ({"X_Amz_Target": "Kinesis.PutRecords"}, b"application/x-amz-json-1.1", b'{"__type": "InvalidAccessKeyId"'),
    ],
)
def test_a_refusal_is_told_in_the_clients_own_form_with_the_remedy(
    headers: dict[str, str], kind: bytes, begins: bytes
) -> None:
    sent = asyncio.run(answers(Gate(never, lambda s: refused_by_aws(s, KEY.__eq__)), scope("POST", **headers)))
    assert sent[0]["status"] == 403
    assert dict(sent[0]["headers"])[b"content-type"] == kind
    assert sent[1]["body"].startswith(begins)
    assert b"stock-pipeline env" in sent[1]["body"]


def test_a_refused_websocket_is_closed_before_it_opens() -> None:
    asked = scope(type_="websocket", Origin="https://attacker.example")
    assert asyncio.run(answers(Gate(never, refused_by_ui), asked)) == [{"type": "websocket.close", "code": 1008}]


def test_the_gate_passes_on_what_is_allowed_and_adds_its_headers() -> None:
    async def app(_scope: Scope, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"page"})

    sent = asyncio.run(answers(Gate(app, refused_by_ui, {"X-Frame-Options": "DENY"}), scope()))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"X-Frame-Options", b"DENY")]
    assert sent[1]["body"] == b"page"


async def answers(app: Gate, asked: Scope) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read of a request that is refused")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(asked, receive, send)
    return sent


async def never(*_: Any) -> None:
    raise AssertionError("a refused request must not come this far")
