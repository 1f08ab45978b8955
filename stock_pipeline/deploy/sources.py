"""The paths of the sources that are deployed."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder of the source tree: lambdas/ and requirements/ are read from it."""

TEMPLATE = CHECKOUT / "lambdas" / "template.yaml"


def functions() -> list[str]:
    """The names of the Lambda functions: the folders beside the template that have a handler."""
    return sorted(handler.parent.name for handler in TEMPLATE.parent.glob("*/handler.py"))


def requirements_of(function: str) -> Path:
    """The hash-pinned requirement file of a function."""
    return TEMPLATE.parent / function / "requirements.txt"
