"""The AWS that the board reads. It is looked for (or started) on a thread, so the page need not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager

from stock_pipeline.settings import Settings

_LEAVES_WITHIN = 15.0  # seconds; the last user of the local AWS stops it


class Place:
    """The settings of an AWS, which is reachable until `leave`.

    `aws` is entered and left on a thread of its own. If that fails, `failed` is called, and `settings` raises the
    error.
    """

    def __init__(self, aws: Callable[[], AbstractContextManager[Settings]], failed: Callable[[], None]) -> None:
        self._aws, self._failed = aws, failed
        self._found: Future[Settings] = Future()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="aws", daemon=True)
        self._thread.start()

    def settings(self) -> Settings:
        """The settings, once the AWS is there. Raises what kept it from being there."""
        return self._found.result()

    def leave(self) -> None:
        """Leave the AWS. One that is only starting is left alone: it ends when this process does.

        Raises what kept the AWS from being there.
        """
        self._over.set()
        if self._found.done():
            self._thread.join(_LEAVES_WITHIN)
            self._found.result()

    def _keep(self) -> None:
        try:
            with self._aws() as settings:
                from stock_pipeline.board import panels  # noqa: F401 - heavy, and needed by the first question

                self._found.set_result(settings)
                self._over.wait()
        except BaseException as error:
            if not self._found.done():
                self._found.set_exception(error)
                self._failed()
