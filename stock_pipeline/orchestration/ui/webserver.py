"""Dagster's webserver. It answers its own pages and its user's programs, but no other page and no other user.

    python -m stock_pipeline.orchestration.ui.webserver -w workspace.yaml -h 127.0.0.1 -p 3000

It takes the options of `dagster-webserver`. Dagster itself executes what any web page sends to it. The gate is in the
webserver's own process, so there is no second port behind it. The rules are in `local.gateway.access`.
"""

import os
from typing import Any

from dagster_webserver import cli

from stock_pipeline.local.gateway.access import Gate, refused_by_own_ui

_HEADERS = {"X-Frame-Options": "DENY"}  # a page must not show the UI in a frame and have a person click in it

_NAME = "create_app_from_workspace_process_context"
_without_gate = getattr(cli, _NAME)


def gated(*arguments: Any, **options: Any) -> Gate:
    """The webserver's ASGI application, behind the gate."""
    return Gate(_without_gate(*arguments, **options), refused_by_own_ui, _HEADERS)


if __name__ == "__main__":
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # uvicorn must not believe a request's own word on who sends it
    setattr(cli, _NAME, gated)
    cli.main()  # type: ignore[no-untyped-call]
