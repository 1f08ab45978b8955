"""Whether a stack can be deployed to in its present state; an empty one that cannot is deleted.

A stack whose first deployment failed stays as ROLLBACK_COMPLETE, or as REVIEW_IN_PROGRESS if its change set failed.
CloudFormation updates neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from stock_pipeline.deploy.events import reasons
from stock_pipeline.deploy.stack import described, parameters_of, patience, resources_of, tagged
from stock_pipeline.errors import DeployError
from stock_pipeline.progress import Say

_EMPTY = {"ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "IMPORT_ROLLBACK_COMPLETE"}
_NEVER = {"ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"}  # are updated
_PLANNED = {"CREATE_PENDING", "CREATE_IN_PROGRESS"}  # a change set that somebody is making now
_UNDO = "`make destroy`, which keeps the buckets"
_REMEDIES = {
    "CREATE_FAILED": "delete it with {undo}, then deploy again",
    "ROLLBACK_FAILED": "delete it with {undo}, then deploy again",
    "DELETE_FAILED": "mend the cause, delete it with {undo}, then deploy again",
    "UPDATE_FAILED": "roll it back first: aws cloudformation rollback-stack --stack-name {stack}",
    "UPDATE_ROLLBACK_FAILED": (
        "mend the cause, then: aws cloudformation continue-update-rollback --stack-name {stack}; then deploy again"
    ),
    "IMPORT_ROLLBACK_FAILED": "ask AWS Support; the buckets and their data are as they were",
}


@dataclass(frozen=True)
class Ready:
    """Whether a stack exists and can be updated, or is to be created; the parameters and tags that it has, or had."""

    exists: bool
    parameters: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)


def made_ready(stack: str, cloudformation: Any, report: Say, undo: str = _UNDO) -> Ready:
    """Look at a stack that is to be deployed to. One that its first deployment left empty is deleted.

    `report` is told the reasons for which that deployment failed. `undo` is the command that deletes it. Raises
    DeployError, with the reasons and the remedy, if the stack is in a state in which it cannot be updated.
    """
    found = described(stack, cloudformation)
    if found is None:
        return Ready(False, {})
    status = found["StackStatus"]
    if is_empty(found, cloudformation):
        if status == "REVIEW_IN_PROGRESS":
            _refuse_if_planned(stack, cloudformation)
        report(f"deleting the stack {stack}: its first deployment failed ({status}), and nothing is in it")
        for reason in reasons(stack, cloudformation):
            report(f"  {reason}")
        delete(stack, cloudformation)
        return Ready(False, parameters_of(found), tagged(found))
    if status in _NEVER or status in _REMEDIES:
        remedy = _REMEDIES.get(status, _REMEDIES["CREATE_FAILED"]).format(stack=stack, undo=undo)
        raise DeployError("\n".join([f"the stack {stack} cannot be updated ({status}); {remedy}",
                                     *(f"  {reason}" for reason in reasons(stack, cloudformation))]))  # fmt: skip
    if status.endswith("_IN_PROGRESS"):
        raise DeployError(
            f"the stack {stack} is being changed ({status}); wait until that has ended, then deploy again"
        )
    return Ready(True, parameters_of(found), tagged(found))


def is_empty(found: dict[str, Any], cloudformation: Any) -> bool:
    """Whether nothing is in a stack because its first deployment failed."""
    return found["StackStatus"] in _EMPTY and not resources_of(found["StackId"], cloudformation)


def delete(stack: str, cloudformation: Any) -> None:
    """Delete a stack and wait until it is gone. Raises DeployError, with the reasons."""
    try:
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=patience(cloudformation))
    except (ClientError, WaiterError) as error:
        found = described(stack, cloudformation) or {}
        why = [found.get("StackStatusReason") or str(error)]
        if isinstance(error, WaiterError):
            why += reasons(stack, cloudformation)
        raise DeployError(
            f"the stack {stack} could not be deleted: {'; '.join(why)}; fix that and run it again"
        ) from error


def _refuse_if_planned(stack: str, cloudformation: Any) -> None:
    for page in cloudformation.get_paginator("list_change_sets").paginate(StackName=stack):
        for each in page["Summaries"]:
            if each["Status"] in _PLANNED:
                raise DeployError(
                    f"somebody is creating the stack {stack} now (change set {each['ChangeSetName']}); wait until that "
                    "has ended, then deploy again"
                )
