"""The result of a check of `doctor`, and what all checks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stock_pipeline.local import running
from stock_pipeline.settings import Settings, variable

State = Literal["ok", "note", "broken"]

DEPLOY = "deploy lambdas/template.yaml; locally, start `stock-pipeline dev` again"


@dataclass(frozen=True)
class Diagnosis:
    """The result of a check, with its remedy."""

    check: str
    state: State
    what: str
    remedy: str = ""


def is_local(settings: Settings) -> bool:
    """Whether the settings are those of the local AWS that runs."""
    local = running()
    return local is not None and local.env.get(variable("lake_bucket")) == settings.lake_bucket
