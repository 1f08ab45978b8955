"""The alerts of a running `dev`: the file that its Dagster writes them into, and what is new in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stock_pipeline.settings import variable

NAME = "alerts.log"


def with_alerts(environ: Mapping[str, str], home: Path, url: str) -> dict[str, str]:
    """An environment in which Dagster writes its alerts into a file of a home, unless it names another file.

    The links in them begin with `url`.
    """
    ours = {variable("alerts_file"): str(home / NAME), variable("dagster_url"): url}
    return {**ours, **{name: value for name, value in environ.items() if value.strip() or name not in ours}}


@dataclass
class Lines:
    """The lines that come into a file from now on."""

    path: Path
    _at: int = 0

    def __post_init__(self) -> None:
        self._at = self.path.stat().st_size if self.path.exists() else 0

    def new(self) -> Iterator[str]:
        """The whole lines that came since the last call. A file that became shorter is read from its beginning."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            self._at = self._at if self._at <= size else 0
            file.seek(self._at)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._at += len(whole) + 1
            yield from whole.decode(errors="replace").splitlines()
