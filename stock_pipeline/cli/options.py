"""Options that several commands have, and how they are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from stock_pipeline.settings import Settings, variable

Symbols = Annotated[
    str | None,
    typer.Option(
        help="A comma-separated list, or a number of made-up symbols; by default the setting.", metavar="SYMBOLS"
    ),
]


class Command(TyperCommand):
    """A command whose help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands whose help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    """The parameters of a command, shown without `<bool>` and `<list[Path]>`, which mean nothing to most readers."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda **_: None
    return parameters


def with_symbols(settings: Settings, symbols: str | None) -> Settings:
    """The settings, with the symbols of the option in place of their own.

    Raises typer.BadParameter when the option names no symbol, and SettingsError as the setting does.
    """
    if symbols is None:
        return settings
    if not symbols.strip():
        raise typer.BadParameter("the list is empty; write it as AAPL,MSFT", param_hint="--symbols")
    return replace(settings, symbols=Settings.from_env({variable("symbols"): symbols}).symbols)


def day(text: str) -> date:
    """The day that an option names. Raises typer.BadParameter, which says how to write a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a valid date; write it as 2024-01-31") from None
