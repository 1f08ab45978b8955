"""The tags of a stack: two that every stack has, and those that somebody gives, which stay until others are given."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.deploy.readiness import made_ready
from stock_pipeline.deploy.tags import tags_for, tags_of
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import STACK, described, stubbed

OURS = {"project": "stock-pipeline", "stage": "main"}

NAMES = st.text("abcXYZ019 _.:/+-@ä", min_size=1, max_size=128).filter(lambda name: not name.lower().startswith("aws:"))
VALUES = st.text("abcXYZ019 _.:/+-@=ä", max_size=256)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_tags_are_read_as_a_shell_would(tags: dict[str, str]) -> None:
    assert tags_of(" ".join(shlex.quote(f"{name}={value}") for name, value in tags.items())) == tags


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("team", "name=value"),
        ("=data", "name=value"),
        ("team=a team=b", "given twice"),
        ("team='a", "they take the form"),
        ("aws:team=a", "AWS keeps for itself"),
        ("AWS:team=a", "AWS keeps for itself"),
        ("team=a;b", "has a character"),
        ("te*m=a", "has a character"),
        (f"{'n' * 129}=a", "too long"),
        (f"team={'v' * 257}", "too long"),
    ],
)
def test_a_tag_that_aws_does_not_take_is_refused_before_anything_is_made(text: str, why: str) -> None:
    with pytest.raises(DeployError, match=why):
        tags_of(text)


def test_every_stack_has_a_project_and_a_stage() -> None:
    assert tags_for("main", None, {}) == OURS
    assert tags_for("main", {"team": "data", "project": "p7"}, {}) == OURS | {"team": "data", "project": "p7"}


def test_tags_stay_until_others_are_given() -> None:
    held = OURS | {"team": "data", "owner": "ann"}
    assert tags_for("main", None, held) == held
    assert tags_for("main", {"team": "risk"}, held) == OURS | {"team": "risk"}


def test_too_many_are_refused() -> None:
    many = {f"n{number}": "" for number in range(48)}
    assert len(tags_for("main", many, {})) == 50
    with pytest.raises(DeployError, match="50 tags at most"):
        tags_for("main", many | {"one": "more"}, {})


def test_a_stack_tells_its_tags() -> None:
    client, stubber = stubbed("cloudformation")
    tags: Any = [{"Key": "team", "Value": "data"}]
    described(stubber, "UPDATE_COMPLETE", Tags=tags)
    assert made_ready(STACK, client, print).tags == {"team": "data"}
