"""What the rules over Dagster's templates share, and those of the pipeline's template that hold for them, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stock_pipeline_tests.lambdas.rules import RULES as OF_THE_PIPELINE
from stock_pipeline_tests.lambdas.template import Template

Rule = Callable[[Template], Iterator[str]]

SHARED = (
    "no_action_is_a_wildcard",
    "every_role_can_be_bounded",
    "nobody_is_let_in_by_a_resource",
    "buckets_are_private",
    "bucket_names_are_of_one_account_and_region",
    "only_tls_is_answered",
    "alarms_reach_the_topic",
    "alarms_are_silent_while_nothing_is_wrong",
    "every_parameter_is_explained_and_in_one_group",
)
"""Rules of the pipeline's template that hold as they are."""

RULES: dict[str, Rule] = {name: OF_THE_PIPELINE[name] for name in SHARED}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def form_of(template: Template) -> str:
    form: str = template.given["Outputs"]["Form"]["Value"]
    return form


def containers(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in template.of_type("AWS::ECS::TaskDefinition").values():
        for one in task["ContainerDefinitions"]:
            yield one["Name"], one


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each["Value"] for each in container["Environment"]}
