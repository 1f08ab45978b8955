"""The stack as `make deploy` leaves it, on a local AWS that enforces IAM. `make deployed` builds the packages first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stock_pipeline.deploy import sam
from stock_pipeline.deploy.stack import outputs_of, stack_of
from stock_pipeline.local import LocalAws
from stock_pipeline.local.instance import start
from stock_pipeline_tests.deployed.account import STAGE, Account
from stock_pipeline_tests.support.local_aws import installed

__all__ = ["installed"]

BUILT = sam.BUILT / "host" / "template.yaml"


@pytest.fixture(scope="session")
def aws(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that enforces IAM. Its own stack is another stage than the one that is tested."""
    root = tmp_path_factory.mktemp("enforcing")
    running = start(root, stage="other", parameters={"Database": "other"}, installed=installed, enforce_iam=True)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def account(aws: LocalAws) -> Account:
    """The account with the stack deployed as to AWS: the packages that `sam build` made, by `sam deploy`."""
    assert BUILT.is_file(), "there are no packages; run `make deployed`, or `make build HOST=1` first"
    sam.deploy(BUILT, STAGE, {"StreamBufferSeconds": "1", "VendorFolder": "acme"}, environ=aws.environ())
    outputs = outputs_of(stack_of(STAGE), aws.client("cloudformation"))
    return Account(replace(aws, stage=STAGE, processor="lambda", outputs=outputs))
