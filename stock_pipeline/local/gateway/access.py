"""Who may send requests: to the local AWS, to the Dagster UI that stands beside it, and to the board.

All listen on loopback, where any page in a browser and any user of the machine can reach them. This module decides on
a request by its headers, and by who sends it. It imports nothing but the standard library, because the emulator's
environment and the project's run it.

The rules for browsers follow the Fetch standard: a browser says where a request comes from in `Origin` and
`Sec-Fetch-Site`, and a page cannot change these headers, nor `Host`.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qs

from .peers import is_of_another_user

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
READY = "/_ministack/ready"
"""The one address of the local AWS that needs no key. It says nothing but that the emulator has started."""

_DAGSTER = "the Dagster UI"
_OF_A_BROWSER = ("origin", "sec-fetch-site")
_SAME_PLACE = {"same-origin", "none"}  # `none`: the person typed the address
_READING = {"GET", "HEAD", "OPTIONS"}
_CREDENTIAL = re.compile(r"\bCredential=([^/,\s]+)/")
KEY = "x-board-key"
"""The header in which the board's own page sends the key of this start."""
DATA = "/data/"
"""What the addresses of the board's data begin with. The page itself and its files hold none."""

_HINT = 'run `eval "$(stock-pipeline env)"` first, which sets the key of the local AWS that runs now'


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: the HTTP status, AWS's code for it, and a sentence for a person."""

    status: int
    code: str
    reason: str


def refused_by_aws(scope: Scope, accepts: Callable[[str], bool]) -> Refusal | None:
    """Why the local AWS refuses a request, or None. `accepts` tells the access keys that it knows.

    The emulator executes code. So it answers no browser at all, and nobody without a key of this start.
    """
    if any(_values(scope, name) for name in _OF_A_BROWSER):
        return Refusal(403, "AccessDenied", "the local AWS does not answer browsers")
    if not _is_local(scope):
        return Refusal(403, "AccessDenied", "the local AWS answers to 127.0.0.1 and localhost only")
    if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == READY:
        return None
    keys = list(_access_keys(scope))
    if not keys or not all(map(accepts, keys)):
        return Refusal(403, "InvalidAccessKeyId", f"the local AWS does not know this access key; {_HINT}")
    return None


def refused_by_ui(scope: Scope, ui: str = _DAGSTER) -> Refusal | None:
    """Why the Dagster UI (or another one, named in `ui`) refuses a request, or None.

    Its own pages may ask anything. No other page may: neither by fetch, form, link, frame or websocket, nor under a
    name of its own that resolves to this machine. What changes something must be a POST of JSON, which a form cannot
    send; a query in an address is not executed.
    """
    if not _is_local(scope):
        return Refusal(403, "AccessDenied", f"{ui} answers to 127.0.0.1 and localhost only")
    here = {f"{scheme}://{host.lower()}" for scheme in ("http", "https") for host in _values(scope, "host")}
    if any(origin.lower() not in here for origin in _values(scope, "origin")):
        return Refusal(403, "AccessDenied", f"{ui} does not answer other pages")
    if any(site.lower() not in _SAME_PLACE for site in _values(scope, "sec-fetch-site")):
        return Refusal(403, "AccessDenied", f"{ui} does not answer other pages; type its address, or open it anew")
    if scope["type"] == "websocket":
        return None
    if scope["method"] not in _READING:
        kinds = [value.partition(";")[0].strip().lower() for value in _values(scope, "content-type")]
        if kinds != ["application/json"]:
            return Refusal(415, "UnsupportedMediaType", "send JSON, with Content-Type: application/json")
    elif scope["path"].rstrip("/").endswith("/graphql") and scope.get("query_string"):
        return Refusal(405, "MethodNotAllowed", "a query is sent by POST, not in the address")
    return None


def refused_by_own_ui(scope: Scope, ui: str = _DAGSTER) -> Refusal | None:
    """Why a UI refuses a request, or None: by the rules above, and because another user sends it."""
    client, server = scope.get("client"), scope.get("server")
    if client and server and is_of_another_user(tuple(client), tuple(server)):
        return Refusal(403, "AccessDenied", f"{ui} answers its own user only")
    return refused_by_ui(scope, ui)


def refused_by_board(scope: Scope, key: str) -> Refusal | None:
    """Why the board refuses a request, or None: by the rules above; because it only reads; and for want of the key.

    The key is not in the page but in the part of its address that browsers keep to themselves. So a program of another
    user reads nothing, where the kernel does not tell who is at the other end either.
    """
    if scope["type"] == "websocket" or scope["method"] not in {"GET", "HEAD"}:
        return Refusal(405, "MethodNotAllowed", "the board only reads; send GET")
    if refusal := refused_by_own_ui(scope, "the board"):
        return refusal
    if scope["path"].startswith(DATA) and not any(equal(given, key) for given in _values(scope, KEY)):
        return Refusal(
            403, "AccessDenied", "open the address that `stock-pipeline board` printed; its key is new at each start"
        )
    return None


def equal(text: str, other: str) -> bool:
    """Whether two texts are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(text.encode(), other.encode())


class Gate:
    """An ASGI application: what `refused` finds no fault with goes to `app`, the rest is answered here.

    `headers` are added to each answer of the application.
    """

    def __init__(
        self, app: App, refused: Callable[[Scope], Refusal | None], headers: Mapping[str, str] | None = None
    ) -> None:
        self._app, self._refused = app, refused
        self._headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and (refusal := self._refused(scope)):
            await _answer(scope, send, refusal)
            return

        async def with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        await self._app(scope, receive, with_headers if self._headers else send)


async def _answer(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Refuse in the form that the client reads: JSON or XML as AWS's protocols have it."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    if _values(scope, "x-amz-target"):
        kind, body = "application/x-amz-json-1.1", json.dumps({"__type": refusal.code, "message": refusal.reason})
    elif _access_keys_given(scope):
        kind = "application/xml"
        body = f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.reason, quote=False)}</Message></Error>"
        if not any("/s3/" in value for value in _values(scope, "authorization")):
            body = f"<ErrorResponse>{body}</ErrorResponse>"
    else:
        kind, body = "text/plain; charset=utf-8", refusal.reason
    headers = [(b"content-type", kind.encode()), (b"x-content-type-options", b"nosniff")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})


def _values(scope: Scope, name: str) -> list[str]:
    wanted = name.encode()
    return [value.decode("latin-1") for header, value in scope["headers"] if header.lower() == wanted]


def _is_local(scope: Scope) -> bool:
    hosts = _values(scope, "host")
    return len(hosts) == 1 and _without_port(hosts[0].lower()) in LOCAL_HOSTS


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _access_keys(scope: Scope) -> Iterator[str]:
    """The access keys that a request names: in its signature, or in the address when it was signed beforehand."""
    for value in _values(scope, "authorization"):
        yield from _CREDENTIAL.findall(value)
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    for value in query.get("X-Amz-Credential", []):
        yield value.partition("/")[0]
    yield from query.get("AWSAccessKeyId", [])


def _access_keys_given(scope: Scope) -> bool:
    return bool(_values(scope, "authorization")) or any(_access_keys(scope))
