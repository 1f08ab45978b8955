"""Options that several commands have, and how they are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Annotated

import typer

from stock_pipeline.settings import Settings, variable

Symbols = Annotated[
    str | None, typer.Option(help="A comma-separated list, or a number of made-up ones; by default the setting.")
]


def with_symbols(settings: Settings, symbols: str | None) -> Settings:
    """The settings, with the symbols that the option names in the place of their own.

    Raises typer.BadParameter when it names none, and SettingsError as the setting does.
    """
    if symbols is None:
        return settings
    if not symbols.strip():
        raise typer.BadParameter("it names no symbol", param_hint="--symbols")
    return replace(settings, symbols=Settings.from_env({variable("symbols"): symbols}).symbols)


def day(text: str) -> date:
    """A day that an option names; raises typer.BadParameter that says how one is written."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it as 2024-01-31") from None
