"""What a template's expressions are before CloudFormation has made anything."""

from __future__ import annotations

from typing import Any

import pytest

from stock_pipeline.deploy.takeover import named_buckets
from stock_pipeline.deploy.template import load_template
from stock_pipeline.deploy.values import Values

TEMPLATE: dict[str, Any] = {
    "Parameters": {"Stage": {"Default": "main"}, "Many": {"Default": 4}, "Needed": {}},
    "Conditions": {
        "Several": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Many"}, 0]}]},
        "OnMain": {"Fn::Equals": [{"Ref": "Stage"}, "main"]},
        "Both": {"Fn::And": [{"Condition": "Several"}, {"Condition": "OnMain"}]},
        "Either": {"Fn::Or": [{"Condition": "Several"}, {"Condition": "OnMain"}]},
    },
    "Resources": {
        "Always": {"Type": "A", "Properties": {"Name": "always"}},
        "Sometimes": {"Type": "A", "Condition": "OnMain"},
        "Other": {"Type": "B"},
    },
}


def values(**given: str) -> Values:
    return Values(TEMPLATE, given, "123456789012", "eu-central-1")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        (7, 7),
        ({"Ref": "Stage"}, "main"),
        ({"Ref": "AWS::AccountId"}, "123456789012"),
        ({"Fn::Sub": "a-${Stage}-${AWS::Region}"}, "a-main-eu-central-1"),
        ({"Fn::Sub": ["${Stage}-${X}", {"X": {"Ref": "Many"}}]}, "main-4"),
        ({"Fn::If": ["Several", {"Ref": "Many"}, "none"]}, "4"),
        ({"Fn::If": ["Both", 1, 2]}, 1),
        ({"Ref": "Always"}, None),
        ({"Fn::Sub": "${Always}-x"}, None),
        ({"Fn::GetAtt": ["Always", "Arn"]}, None),
        ({"Ref": "AWS::NoValue"}, None),
    ],
)
def test_an_expression_has_the_value_that_cloudformation_gives_it(written: Any, value: Any) -> None:
    assert values().of(written) == value


@pytest.mark.parametrize(
    ("given", "true"),
    [
        ({}, {"Several", "OnMain", "Both", "Either"}),
        ({"Many": "0"}, {"OnMain", "Either"}),
        ({"Many": "0", "Stage": "trial"}, set()),
    ],
)
def test_conditions_hold_by_the_parameters(given: dict[str, str], true: set[str]) -> None:
    assert {name for name in TEMPLATE["Conditions"] if values(**given).holds(name)} == true


def test_only_what_the_parameters_ask_for_is_made() -> None:
    assert dict(values().made("A")) == {"Always": {"Name": "always"}, "Sometimes": {}}
    assert dict(values(Stage="trial").made("A")) == {"Always": {"Name": "always"}}


def test_the_templates_buckets_have_literal_names() -> None:
    named = named_buckets(Values(load_template(), {"Stage": "trial"}, "123456789012", "eu-central-1"))
    assert named == {
        "StagingBucket": "stock-pipeline-trial-staging-123456789012-eu-central-1-an",
        "LakeBucket": "stock-pipeline-trial-lake-123456789012-eu-central-1-an",
    }
