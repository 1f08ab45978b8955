"""Rules: what somebody may set is explained, bounded, and told apart."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline_tests.lambdas.template import Template, rule


@rule
def every_parameter_is_explained_and_in_one_group(template: Template) -> Iterator[str]:
    interface = template.given.get("Metadata", {}).get("AWS::CloudFormation::Interface", {"ParameterGroups": []})
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    for name, parameter in template.parameters.items():
        if grouped.count(name) != 1:
            yield f"the console shows {name} in {grouped.count(name)} groups"
        if len(parameter.get("Description", "").split()) < 4:
            yield f"nobody knows what {name} is"
    yield from (
        f"a group has {name}, which is no parameter" for name in sorted(set(grouped) - set(template.parameters))
    )


@rule
def a_wrong_value_is_refused_before_anything_is_made(template: Template) -> Iterator[str]:
    for name, parameter in template.parameters.items():
        if parameter["Type"] == "Number" and not parameter.keys() & {"MinValue", "AllowedValues"}:
            yield f"{name} takes any number"
        free = parameter["Type"] == "String" and name != "Symbols"
        if free and not parameter.keys() & {"AllowedPattern", "AllowedValues"}:
            yield f"{name} takes any text"
        if "Default" not in parameter:
            yield f"{name} must be given: a deployment without parameters fails"


@rule
def a_budget_is_told_to_somebody(template: Template) -> Iterator[str]:
    for name, budget in template.of_type("AWS::Budgets::Budget").items():
        kinds = {told["Notification"]["NotificationType"] for told in budget.get("NotificationsWithSubscribers", [])}
        if kinds != {"ACTUAL", "FORECASTED"}:
            yield f"{name} tells of costs too late, or not at all"
        for told in budget.get("NotificationsWithSubscribers", []):
            if told["Subscribers"] != [{"SubscriptionType": "EMAIL", "Address": {"Ref": "AlarmEmail"}}]:
                yield f"{name} tells somebody else"
    wanted = {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]}
    rules = template.given.get("Rules", {}).values()
    if not any(assertion["Assert"] == wanted for found in rules for assertion in found["Assertions"]):
        yield "a budget may be set that nobody hears of"
