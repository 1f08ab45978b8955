"""The result of a check of `doctor`, and what all checks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from stock_pipeline.credentials import is_denied
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


def said(error: Any, name: str) -> str:
    """What AWS has answered about a resource."""
    return f"{name}: {error.response['Error'].get('Message') or error}"


def refused(error: BaseException) -> bool:
    """Whether AWS has refused a call for want of a permission, itself or as the cause of an error."""
    cause: BaseException | None = error
    while cause and not is_denied(cause):
        cause = cause.__cause__
    return cause is not None


def not_looked_at(check: str, error: BaseException, permission: str) -> Diagnosis:
    """A note for what the caller's role may not look at. A role that only reads does well without."""
    who = f"this role may not look at it: {error}"
    return Diagnosis(check, "note", who, f"to have it checked, ask for the permission {permission}")


def is_local(settings: Settings) -> bool:
    """Whether the settings are those of the local AWS that runs."""
    local = running()
    return local is not None and local.env.get(variable("lake_bucket")) == settings.lake_bucket
