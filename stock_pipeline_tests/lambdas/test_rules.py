"""The template keeps every rule, and each of many faults in it breaks the rule that is there for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from stock_pipeline.deploy.template import load_template
from stock_pipeline_tests.lambdas.faults import FAULTS
from stock_pipeline_tests.lambdas.rules import RULES, Template, transformed
from stock_pipeline_tests.support.local_aws import installed

__all__ = ["installed"]

pytestmark = pytest.mark.xdist_group("template")  # to transform it takes long, and one process does it

AS_IT_IS = "as it is"


@pytest.fixture(scope="session")
def template(installed: Path) -> Callable[[str], Template]:
    """The template with a fault planted, as SAM transforms it."""
    planted = {AS_IT_IS: load_template()}
    for fault, (edit, _) in FAULTS.items():
        planted[fault] = copy.deepcopy(planted[AS_IT_IS])
        edit(planted[fault])
    return dict(zip(planted, transformed(list(planted.values()), installed), strict=True)).__getitem__


@pytest.mark.parametrize("name", RULES)
def test_the_template_keeps_the_rule(template: Callable[[str], Template], name: str) -> None:
    assert list(RULES[name](template(AS_IT_IS))) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_breaks_its_rule(template: Callable[[str], Template], fault: str) -> None:
    assert list(RULES[FAULTS[fault][1]](template(fault))) != []


def test_every_rule_has_a_fault_that_shows_it_at_work() -> None:
    assert {name for _, name in FAULTS.values()} == set(RULES)
    assert len(FAULTS) >= 90
