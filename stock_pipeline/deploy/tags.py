"""Tags of a stack. CloudFormation puts them on every resource that takes tags, for bills and for rules of an account.

Every stack has `project` and `stage`. Somebody may give others, or other values for these two.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from stock_pipeline.errors import DeployError

_MOST = 50  # tags of a stack
_TEXT = re.compile(r"[\w .:/=+@-]*")  # letters of all languages, as AWS documents it
_KEY, _VALUE = 128, 256  # characters


def tags_of(text: str) -> dict[str, str]:
    """Tags as a shell would read them: `team=data "cost centre=12 34"`. Raises DeployError."""
    given: dict[str, str] = {}
    try:
        words = shlex.split(text)
    except ValueError:
        raise DeployError(f"the tags are {text!r}; they take the form 'name=value \"other name=value\"'") from None
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or name in given:
            raise DeployError(
                f"the tag {word!r} is given twice, or has no name or no `=`; tags take the form name=value"
            )
        _check(name, value)
        given[name] = value
    return given


def tags_for(stage: str, asked: Mapping[str, str] | None, held: Mapping[str, str]) -> dict[str, str]:
    """The tags of a stage's stack: those that are asked for, else those that it has; `project` and `stage` always.

    Raises DeployError if there are more than CloudFormation takes.
    """
    tags = {"project": "stock-pipeline", "stage": stage, **(held if asked is None else asked)}
    if len(tags) > _MOST:
        raise DeployError(f"a stack has {_MOST} tags at most, and these are {len(tags)} with project and stage")
    return tags


def _check(name: str, value: str) -> None:
    if name.lower().startswith("aws:"):
        raise DeployError(f"the tag {name} begins with aws:, which AWS keeps for itself")
    for what, text, most in (("name", name, _KEY), ("value", value, _VALUE)):
        if len(text) > most or not _TEXT.fullmatch(text):
            raise DeployError(
                f"the {what} {text!r} of a tag is too long or has a character that AWS does not take; it takes up to "
                f"{most} letters, digits, spaces and _ . : / = + - @"
            )
