"""Edits of the template: each makes one fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stock_pipeline_tests.lambdas.template import unconditional

Edit = Callable[[dict[str, Any]], None]


def properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def holder(inside: Any, *path: str) -> Any:
    """What holds the last name of a path."""
    for key in path[:-1]:
        inside = inside[key]
    return inside


def put(inside: Any, value: Any, *path: str) -> None:
    """Set something at a path, or remove it (None)."""
    held = holder(inside, *path)
    if value is None:
        del held[path[-1]]
    else:
        held[path[-1]] = value


def without(name: str, *path: str) -> Edit:
    """Removes a property of a resource."""

    def edit(template: dict[str, Any]) -> None:
        put(properties(template, name), None, *path)

    return edit


def with_value(name: str, value: Any, *path: str) -> Edit:
    """Sets a property of a resource."""

    def edit(template: dict[str, Any]) -> None:
        holder(properties(template, name), *path)[path[-1]] = value

    return edit


def removed(name: str) -> Edit:
    def edit(template: dict[str, Any]) -> None:
        del template["Resources"][name]

    return edit


def statement(template: dict[str, Any], name: str, sid: str) -> dict[str, Any]:
    found = properties(template, name)
    document = found["Policies"][0]["PolicyDocument"] if "Policies" in found else found["PolicyDocument"]
    (one,) = (s for s in unconditional(document["Statement"]) if s["Sid"] == sid)
    found_one: dict[str, Any] = one
    return found_one


def changed(name: str, sid: str, **values: Any) -> Edit:
    """Changes parts of a statement; None removes one."""

    def edit(template: dict[str, Any]) -> None:
        one = statement(template, name, sid)
        for key, value in values.items():
            if value is None:
                del one[key]
            else:
                one[key] = value

    return edit


def forbidden(name: str, sid: str, action: str) -> Edit:
    """Takes one action out of a statement, and the statement with the last of them."""

    def edit(template: dict[str, Any]) -> None:
        one = statement(template, name, sid)
        actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
        one["Action"] = [other for other in actions if other != action]
        assert one["Action"] != actions

    return edit


def in_global(value: Any, *path: str) -> Edit:
    """Sets something for all functions, or removes it (None)."""

    def edit(template: dict[str, Any]) -> None:
        put(template["Globals"]["Function"], value, *path)

    return edit


def trust(name: str, **values: Any) -> Edit:
    def edit(template: dict[str, Any]) -> None:
        (one,) = properties(template, name)["AssumeRolePolicyDocument"]["Statement"]
        one.update(values)

    return edit


def condition(name: str, sid: str, key: str) -> Edit:
    """Removes a condition of a statement."""

    def edit(template: dict[str, Any]) -> None:
        del statement(template, name, sid)["Condition"][key]

    return edit


def retained(name: str, policy: str, value: str = "Delete") -> Edit:
    def edit(template: dict[str, Any]) -> None:
        template["Resources"][name][policy] = value

    return edit


def parameter(name: str, key: str, value: Any) -> Edit:
    """Sets something of a parameter, or removes it (None)."""

    def edit(template: dict[str, Any]) -> None:
        if value is None:
            del template["Parameters"][name][key]
        else:
            template["Parameters"][name][key] = value

    return edit


def without_section(name: str) -> Edit:
    """Removes a whole section of the template."""

    def edit(template: dict[str, Any]) -> None:
        del template[name]

    return edit


def without_metric(name: str, metric: str) -> Edit:
    """Takes one metric out of an alarm on several."""

    def edit(template: dict[str, Any]) -> None:
        metrics = properties(template, name)["Metrics"]
        properties(template, name)["Metrics"] = [one for one in metrics if one["Id"] != metric]
        assert len(properties(template, name)["Metrics"]) < len(metrics)

    return edit


def lacking(name: str, sid: str, resource: str) -> Edit:
    """Takes the resources that have a word in their name out of a statement."""

    def edit(template: dict[str, Any]) -> None:
        one = statement(template, name, sid)
        kept = [other for other in one["Resource"] if resource not in str(other)]
        assert len(kept) < len(one["Resource"])
        one["Resource"] = kept

    return edit


def on(*edits: Edit) -> Edit:
    """Several edits that are one fault."""

    def edit(template: dict[str, Any]) -> None:
        for one in edits:
            one(template)

    return edit
