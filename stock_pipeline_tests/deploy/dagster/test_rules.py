"""The templates of the Dagster that stays keep every rule, and each of many faults breaks the rule that is for it."""

from __future__ import annotations

import copy

import pytest

from stock_pipeline.deploy.dagster import FORMS
from stock_pipeline.deploy.template import load_template
from stock_pipeline_tests.deploy.dagster.faults import FAULTS
from stock_pipeline_tests.deploy.dagster.rules import RULES
from stock_pipeline_tests.lambdas.template import Template

AS_THEY_ARE = {form: load_template(path) for form, path in FORMS.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RULES)
def test_the_template_keeps_the_rule(form: str, name: str) -> None:
    assert list(RULES[name](Template(AS_THEY_ARE[form]["Resources"], AS_THEY_ARE[form]))) == []


@pytest.mark.parametrize(("form", "fault"), [(form, fault) for form, faults in FAULTS.items() for fault in faults])
def test_a_fault_breaks_its_rule(form: str, fault: str) -> None:
    planted = copy.deepcopy(AS_THEY_ARE[form])
    edit, name = FAULTS[form][fault]
    edit(planted)
    assert list(RULES[name](Template(planted["Resources"], planted))) != []


def test_every_rule_has_a_fault_that_shows_it_at_work() -> None:
    assert {name for faults in FAULTS.values() for _, name in faults.values()} == set(RULES)
