"""A template as SAM transforms it, and what rules over it share.

A rule looks at a template and gives a sentence for each thing that is wrong. `RULES` has them all by name, once the
modules that hold them are imported.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stock_pipeline.local import LocalFolders

Rule = Callable[["Template"], Iterator[str]]
RULES: dict[str, Rule] = {}

BUCKET = re.compile(
    r"arn:\$\{AWS::Partition\}:s3:::"
    r"stock-pipeline-\$\{Stage\}-(staging|lake)-\$\{AWS::AccountId\}-\$\{AWS::Region\}-an"
)
ACCOUNT = {"Ref": "AWS::AccountId"}
NOTHING = {"Ref": "AWS::NoValue"}
OF_RESOURCES = ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
OF_PEOPLE = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


@dataclass(frozen=True)
class Template:
    """A template after SAM's transform. `given` is the template before it: parameters, rules, metadata, conditions."""

    resources: dict[str, Any]
    given: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = self.given["Parameters"]
        return found

    def of_type(self, kind: str) -> dict[str, Any]:
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}

    def functions(self) -> dict[str, Any]:
        return self.of_type("AWS::Lambda::Function")

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every statement of every policy, with the role or the policy that it is in."""
        for name, role in self.of_type("AWS::IAM::Role").items():
            for policy in role.get("Policies", []):
                yield from ((name, one) for one in unconditional(policy["PolicyDocument"]["Statement"]))
        for kind in (*OF_RESOURCES, *OF_PEOPLE):
            for name, policy in self.of_type(kind).items():
                yield from ((name, one) for one in unconditional(policy["PolicyDocument"]["Statement"]))

    def policy_of(self, kind: str, resource: str) -> list[dict[str, Any]]:
        """The statements of the resource policies that are attached to a resource."""
        found: list[dict[str, Any]] = []
        for policy in self.of_type(kind).values():
            targets = [policy["Bucket"]] if "Bucket" in policy else policy.get("Queues") or policy.get("Topics") or []
            if {"Ref": resource} in targets:
                found += policy["PolicyDocument"]["Statement"]
        return found


# The emulator's environment has the transform; it pins pydantic, so the project's own does without.
_TRANSFORM = """
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
sources = json.load(sys.stdin)
made = [Translator({}, Parser()).translate(template, defaults)["Resources"] for template, defaults in sources]
json.dump(made, sys.stdout)
"""


def transformed(templates: Sequence[dict[str, Any]], installed: Path) -> list[Template]:
    """What SAM makes of templates: every function, role and configuration as CloudFormation gets it."""
    sources = []
    for template in copy.deepcopy(list(templates)):
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = "s3://bucket/key"  # where `sam package` would have put it
        sources.append(
            (template, {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()})
        )
    done = subprocess.run(
        [str(LocalFolders(installed).python), "-c", _TRANSFORM],
        input=json.dumps(sources), env={"AWS_DEFAULT_REGION": "us-east-1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    return [Template(resources, template) for resources, template in zip(made, templates, strict=True)]


def unconditional(parts: list[Any]) -> list[Any]:
    """A list with the parts that a condition adds: what {"Fn::If": [condition, part, nothing]} has when it holds."""
    return [part["Fn::If"][1] if isinstance(part, dict) and "Fn::If" in part else part for part in parts]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A name as written: the template of a Fn::Sub, or what a Ref or a Fn::GetAtt names; our buckets by their role."""
    if isinstance(value, dict):
        value = next(iter(value.values()))
    written = ".".join(value) if isinstance(value, list) else str(value)
    return BUCKET.sub(r"\1", written.removesuffix(".Arn"))


def dead_letter_queues(template: Template) -> set[str]:
    """The queues that hold what failed: those that other queues redrive to, and those of functions and schedules."""
    found = set()
    for queue in template.of_type("AWS::SQS::Queue").values():
        if "RedrivePolicy" in queue:
            found.add(text(queue["RedrivePolicy"]["deadLetterTargetArn"]))
    for config in template.of_type("AWS::Lambda::EventInvokeConfig").values():
        if failures := config.get("DestinationConfig", {}).get("OnFailure"):
            found.add(text(failures["Destination"]))
    for schedule in template.of_type("AWS::Scheduler::Schedule").values():
        if dead := schedule["Target"].get("DeadLetterConfig"):
            found.add(text(dead["Arn"]))
    return found
