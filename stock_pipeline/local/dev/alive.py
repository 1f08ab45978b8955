"""`python -m stock_pipeline.local.dev.alive code|webserver|daemon …`: whether these parts of a Dagster that stays work.

It is what ECS and a timer of systemd ask, each minute or so: exit status 0 if all of them work, else 1 and a sentence.
It asks what people see. A part whose process lives but no longer does its work is started again, and also one whose
password of the database has been changed.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from stock_pipeline.errors import DevError
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.local.dev.health import BEATS_WITHIN
from stock_pipeline.local.dev.services import HOST

UI_PORT, CODE_PORT = 3000, 4000  # those of `stock-pipeline serve` when it is given none
_CONNECTS_WITHIN = 5.0  # seconds


def trouble(part: str, ui_port: int = UI_PORT, code_port: int = CODE_PORT) -> str | None:
    """What is wrong with a part, or None. The daemon is asked about through the UI, which reads its heartbeats."""
    ui = Dagster(f"http://{HOST}:{ui_port}")
    checks: Mapping[str, Callable[[], str | None]] = {
        "code": lambda: _listens(code_port),
        "webserver": lambda: None if ui.answers() else f"nothing answers at {ui.url}",
        "daemon": lambda: _beats(ui),
    }
    if part not in checks:
        raise DevError(f"there is no part {part}; the parts are {', '.join(checks)}")
    return checks[part]()


def main(parts: Sequence[str]) -> None:
    """Ends the process with status 1, and what is wrong, at the first part that does not work."""
    if not parts:
        sys.exit("name a part: code, webserver or daemon")
    for part in parts:
        try:
            if wrong := trouble(part):
                sys.exit(f"{part}: {wrong}")
        except DevError as error:
            sys.exit(f"{part}: {error}")


def _listens(port: int) -> str | None:
    try:
        socket.create_connection((HOST, port), _CONNECTS_WITHIN).close()
    except OSError as error:
        return f"port {port}: {error}"
    return None


def _beats(ui: Dagster) -> str | None:
    signs, now = ui.signs(), time.time()
    if signs.unreachable:
        return f"the code server does not answer: {signs.unreachable}"
    if not signs.heartbeats:
        return "no daemon has a heartbeat"
    silent = [name.lower() for name, beat in signs.heartbeats.items() if not beat or now - beat > BEATS_WITHIN]
    return f"no heartbeat of {', '.join(sorted(silent))}" if silent else None


if __name__ == "__main__":
    main(sys.argv[1:])
