"""People in the account, each with a role: of managed policies of the stack, or of statements."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from stock_pipeline.deploy.stack import stack_of
from stock_pipeline.local.stack import REGION
from stock_pipeline_tests.deployed.account import Account


@dataclass(frozen=True)
class Somebody:
    """Who uses the account with the credentials of a role."""

    account: Account
    credentials: Mapping[str, str]

    @property
    def s3(self) -> Any:
        config = Config(proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        session = boto3.Session(
            self.credentials["AccessKeyId"],
            self.credentials["SecretAccessKey"],
            self.credentials["SessionToken"],
            region_name=REGION,
        )
        return session.client("s3", endpoint_url=self.account.aws.endpoint, config=config)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command line on the stack, with nothing but the stack's name and settings that are given."""
        environ = {k: v for k, v in self.account.aws.environ().items() if not k.startswith("STOCK_PIPELINE_")}
        environ |= settings | {
            "AWS_ACCESS_KEY_ID": self.credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": self.credentials["SessionToken"],
        }
        program = [str(Path(sys.executable).with_name("stock-pipeline")), "--stack", stack_of(self.account.aws.stage)]
        return subprocess.run([*program, *arguments], env=environ, capture_output=True, text=True, check=False)


def somebody(
    account: Account, name: str, policies: Sequence[str] = (), statements: Sequence[dict[str, Any]] = ()
) -> Somebody:
    """Make a role of managed policies (by the outputs with their ARNs) or of statements, and take it."""
    iam, sts = account.client("iam"), account.client("sts")
    me = sts.get_caller_identity()["Account"]
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{me}:root"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]
    for output in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=account.outputs[output])
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=_document(*statements))
    return Somebody(account, sts.assume_role(RoleArn=role["Arn"], RoleSessionName="somebody")["Credentials"])


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
