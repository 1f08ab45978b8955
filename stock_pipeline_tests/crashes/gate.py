"""A proxy before the local AWS that holds chosen requests, so that their sender waits at exactly that point.

    with gate.holding("PUT", "/price_by_date/") as held:
        held.reached()      # somebody is about to write a partition
        …                   # kill it; what it sent is dropped at the end of the block, and never reaches S3

With `after=True` the request is done, and only its answer is held and dropped, so the sender does not know the result.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 120.0  # seconds


@dataclass
class Held:
    """The requests that are held: those of a method with a text in their address."""

    method: str
    text: str
    after: bool
    most: int
    count: int = 0
    _reached: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)

    def reached(self, within: float = PATIENCE) -> None:
        """Wait until a request is held."""
        assert self._reached.wait(within), f"no {self.method} of {self.text} came within {within:.0f} s"

    def settle(self, seconds: float = 0.5) -> None:
        """Let the last requests of a killed sender arrive, so that `reached` waits for the next sender's."""
        time.sleep(seconds)
        self._reached.clear()


class Gate:
    """The proxy. `url` is where to send requests in the place of the AWS that it stands before."""

    def __init__(self, endpoint: str) -> None:
        self._target = urlsplit(endpoint).netloc
        self._held: list[Held] = []
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                gate._answer(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 (as http.server calls them)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Gate:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def holding(self, method: str, text: str, *, after: bool = False, most: int = 1_000_000) -> Iterator[Held]:
        """Hold matching requests, `most` of them, while the block lasts; then drop them unanswered."""
        held = Held(method, text, after, most)
        self._held.append(held)
        try:
            yield held
        finally:
            self._held.remove(held)
            held._over.set()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        held = next(
            (h for h in self._held if h.method == handler.command and h.text in handler.path and h.count < h.most), None
        )
        if held:
            held.count += 1
        if not held or held.after:
            status, headers, data = self._forward(handler, body)
        if held:
            held._reached.set()
            held._over.wait()
            handler.close_connection = True
            return
        with suppress(OSError):  # the sender is gone
            handler.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                    handler.send_header(name, value)
            length = dict(headers).get("content-length") if handler.command == "HEAD" else None
            handler.send_header("Content-Length", length or str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=PATIENCE)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "expect"}
            connection.request(handler.command, handler.path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()
