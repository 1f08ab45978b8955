"""Sends events to a catalog by HTTP, one at a time.

The transport is the library's. Its client is not used: it would look for other configuration in the working folder, and
would write the key into the environment of every process that this one starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport.http import HttpConfig, HttpTransport

from stock_pipeline.errors import LineageNotSent

VARIABLES = {
    "OPENLINEAGE_URL": "address of a catalog that takes events of OpenLineage; without it, none are sent",
    "OPENLINEAGE_ENDPOINT": "path that they are sent to (api/v1/lineage)",
    "OPENLINEAGE_API_KEY": "its key, sent as a bearer token; a secret",  # pragma: allowlist secret
    "OPENLINEAGE_NAMESPACE": "namespace of the jobs and datasets (stock_pipeline)",
}
"""The variables that are read, under the names that OpenLineage gives them."""

_TIMEOUT = 5.0  # seconds
_REFUSED = {400, 409, 413, 422}  # answers that no second try changes


@dataclass
class Catalog:
    """A catalog, as the environment names it."""

    env: Mapping[str, str]
    _transport: HttpTransport = field(init=False)

    def __post_init__(self) -> None:
        config: dict[str, Any] = {"url": self.env["OPENLINEAGE_URL"].strip(), "timeout": _TIMEOUT}
        config["retry"] = {"total": 1, "connect": 1, "read": 0, "status": 0}
        if endpoint := self.env.get("OPENLINEAGE_ENDPOINT", "").strip():
            config["endpoint"] = endpoint
        if key := self.env.get("OPENLINEAGE_API_KEY", "").strip():
            config["auth"] = {"type": "api_key", "apiKey": key}
        try:
            self._transport = HttpTransport(HttpConfig.from_dict(config))
        except ValueError as error:
            raise LineageNotSent(f"OPENLINEAGE_URL is not an address such as http://catalog:5000 ({error})") from None

    @property
    def namespace(self) -> str:
        return self.env.get("OPENLINEAGE_NAMESPACE", "").strip() or "stock_pipeline"

    def send(self, event: RunEvent) -> str | None:
        """Send an event; returns why the catalog refuses it, if it does and always would.

        Raises LineageNotSent when the event must be sent again.
        """
        try:
            self._transport.emit(event)
        except OSError as error:  # those of requests are, too
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in _REFUSED:
                return f"status {status}"
            why = f"status {status}" if status else type(error).__name__
            raise LineageNotSent(f"the catalog of OPENLINEAGE_URL does not take events ({why})") from None
        return None
