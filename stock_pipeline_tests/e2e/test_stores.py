"""S3Store on the local AWS keeps the contract of a store, races included: moto's conditional writes are not atomic."""

from __future__ import annotations

from itertools import count

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline_tests.support.local_aws import Stack
from stock_pipeline_tests.support.store_contract import CONTRACT, race

pytestmark = pytest.mark.e2e


def test_s3_keeps_the_contract_of_a_store(local_aws_env: Stack) -> None:
    numbers = count()

    def empty() -> S3Store:
        name = f"contract-{next(numbers)}"
        local_aws_env.s3.create_bucket(Bucket=name)
        return S3Store(name, local_aws_env.s3)

    failures: dict[str, BaseException] = {}
    for law in CONTRACT:
        try:
            law(empty())
        except Exception as error:
            failures[law.__name__] = error
    race(empty())
    assert failures == {}
