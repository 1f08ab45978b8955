"""The stack as `make deploy` leaves it, on a local AWS that enforces IAM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stock_pipeline.local import LocalAws
from stock_pipeline.local.instance import start
from stock_pipeline_tests.deployed.account import Account
from stock_pipeline_tests.local_aws import installed

__all__ = ["installed"]


@pytest.fixture(scope="session")
def aws(installed: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    root = tmp_path_factory.mktemp("enforcing")
    running = start(root, processor="lambda", stage="main", installed=installed, enforce_iam=True,
                    parameters={"StreamBufferSeconds": "1"})  # fmt: skip
    yield running
    running.stop()


@pytest.fixture(scope="session")
def account(aws: LocalAws) -> Account:
    return Account(aws)
