"""The socket that the board listens on, and its server until Ctrl-C."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from stock_pipeline.errors import BoardError

HOST, PORT = "127.0.0.1", 8050

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def listening(port: int | None) -> socket.socket:
    """A socket on loopback: on this port, or on 8050, or on a free one where that is taken.

    Raises BoardError when the port that was asked for cannot be had.
    """
    if port is None:
        with suppress(OSError):
            return socket.create_server((HOST, PORT))
    try:
        return socket.create_server((HOST, port or 0))
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise BoardError(f"port {port} {why}; choose another one with --port, or leave out --port") from error


class Server(uvicorn.Server):
    """Serves an application on a socket until Ctrl-C, SIGTERM or `end`.

    `ending` is called as soon as it is told to end, so that the application answers what still waits.
    """

    def __init__(self, app: App, ending: Callable[[], None]) -> None:
        # A request must not say itself who sends it, so nothing is believed of proxies.
        config = uvicorn.Config(
            app, lifespan="off", ws="none", log_level="warning", access_log=False, server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        super().__init__(config)
        self._ending = ending

    def serve_on(self, listening: socket.socket) -> None:
        """Serve. Raises KeyboardInterrupt or SystemExit after an orderly end, as the signal would have done."""
        self.run(sockets=[listening])

    def end(self) -> None:
        """Tell it to end. May be called from any thread, also before it runs."""
        self._ending()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._ending()
        super().handle_exit(sig, frame)
