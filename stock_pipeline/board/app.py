"""The board's application: the page and its files for anybody on this machine, data for who has the key.

An answer is JSON: what a panel shows, or `{"error": …}` with what to do. Each is made on a thread, several at a time,
because the query functions wait for their rows. The page may load nothing from another host: its policy forbids it, and
the charts' JavaScript is that of the installed package.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from stock_pipeline.errors import QueryError, StockPipelineError
from stock_pipeline.local.gateway.access import DATA, Gate, refused_by_board
from stock_pipeline.settings import Settings

_PAGE = Path(__file__).with_name("page")
_FILES = {"/": "index.html", "/board.css": "board.css", "/board.js": "board.js", "/theme.js": "theme.js"}
_DRAWING = "/plotly.min.js"
_AT_A_TIME = 4  # questions
_HEADERS = {
    "Content-Security-Policy": (
        # Plotly writes its styles into the page, and draws maps of values as data: images.
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Board:
    """The board as an ASGI application, behind the gate.

    `settings` gives the AWS that is read; it may wait for it. `told` makes a message for a person of an error.
    A `command` for this AWS begins so: `stock-pipeline --stack NAME`.
    """

    def __init__(
        self, settings: Callable[[], Settings], key: str, told: Callable[[Exception], str], command: str
    ) -> None:
        self._settings, self._told, self._command = settings, told, command
        self._threads = ThreadPoolExecutor(_AT_A_TIME, "board")
        self._asked: set[Future[bytes]] = set()
        self._waiting: set[asyncio.Future[bytes]] = set()
        routes = [
            *(Route(path, partial(_file, name)) for path, name in _FILES.items()),
            Route(_DRAWING, partial(_drawing, _plotly())),
            Route(f"{DATA}{{panel}}", self._answer),
        ]
        app: Any = Starlette(routes=routes, exception_handlers={HTTPException: _not_there})
        self.app = Gate(app, lambda scope: refused_by_board(scope, key), _HEADERS)

    def give_up(self) -> None:
        """Answer the questions that still wait, with an error. May be called from any thread."""
        for waiting in tuple(self._waiting):
            waiting.get_loop().call_soon_threadsafe(waiting.cancel)

    def stop(self) -> bool:
        """Take no more questions. Returns whether one is still being worked on."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        return any(not asked.done() for asked in tuple(self._asked))

    async def _answer(self, request: Request) -> Response:
        work = self._threads.submit(self._content, request.path_params["panel"], dict(request.query_params))
        self._asked.add(work)
        work.add_done_callback(self._asked.discard)
        waiting = asyncio.wrap_future(work)
        self._waiting.add(waiting)
        headers = {"Cache-Control": "no-store"}
        try:
            return Response(await waiting, media_type="application/json", headers=headers)
        except asyncio.CancelledError:
            return JSONResponse({"error": "the board was stopped"}, 503, headers)
        except Exception as error:
            status = 400 if isinstance(error, QueryError) else 503 if isinstance(error, StockPipelineError) else 500
            return JSONResponse({"error": self._told(error)}, status, headers)
        finally:
            self._waiting.discard(waiting)

    def _content(self, panel: str, asked: dict[str, str]) -> bytes:
        settings = self._settings()
        from stock_pipeline.board.panels import PANELS
        from stock_pipeline.board.questions import Question

        if panel not in PANELS:
            raise QueryError(f"there is no panel {panel}; there are {', '.join(PANELS)}")
        # NaN and infinity become null.
        return orjson.dumps(PANELS[panel](Question(settings, asked, self._command)), option=orjson.OPT_SERIALIZE_NUMPY)


async def _file(name: str, _request: Request) -> Response:
    return FileResponse(_PAGE / name, headers={"Cache-Control": "no-cache"})


async def _drawing(path: Path, _request: Request) -> Response:
    """Plotly's JavaScript. A browser keeps it, and asks once a start whether it is still the same."""
    return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


async def _not_there(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "there is nothing at this address; the board is at /"}, status)


def _plotly() -> Path:
    """The JavaScript of the installed plotly, found without importing it."""
    found = importlib.util.find_spec("plotly")
    assert found, "the command asks for the extra first"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
