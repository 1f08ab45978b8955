"""What functions reserve fits into the account's quota, or is left out and told, or is refused."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from stock_pipeline.deploy.reservations import fitting
from stock_pipeline.deploy.template import load_template
from stock_pipeline.deploy.values import Values
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import stubbed

TEMPLATE = load_template()


def values(**given: str) -> Values:
    return Values(TEMPLATE, given, "123456789012", "eu-central-1")


def wanted() -> int:
    """What the template's functions reserve with its defaults."""
    made = dict(values().made("AWS::Serverless::Function"))
    return sum(int(values().of(each.get("ReservedConcurrentExecutions")) or 0) for each in made.values())


def account(quota: int, unreserved: int, **functions: int) -> tuple[Any, Stubber]:
    client, stubber = stubbed("lambda")
    limit = {"ConcurrentExecutions": quota, "UnreservedConcurrentExecutions": unreserved}
    stubber.add_response("get_account_settings", {"AccountLimit": limit})
    for name, reserved in functions.items():
        answer = {"ReservedConcurrentExecutions": reserved} if reserved else {}
        stubber.add_response("get_function_concurrency", answer, {"FunctionName": name})
    return client, stubber


@pytest.mark.parametrize("quota", [10, 50, 100])
def test_a_new_account_reserves_nothing_and_is_told(quota: int) -> None:
    client, _ = account(quota, quota)
    said: list[str] = []
    assert fitting(values(), {}, [], client, said.append) == {"ProcessingConcurrency": "0"}
    (sentence,) = said
    assert f"quota of {quota} leaves 0; so none are reserved" in sentence


def test_the_largest_that_fits_is_reserved() -> None:
    for unreserved, given in ((100 + wanted(), {}), (99 + wanted(), {"ProcessingConcurrency": "0"})):
        client, _ = account(1000, unreserved)
        assert fitting(values(), {}, [], client, lambda _: None) == given


def test_what_somebody_asked_for_is_refused_if_it_does_not_fit() -> None:
    client, _ = account(10, 10)
    asked = {"ProcessingConcurrency": "4"}
    with pytest.raises(DeployError, match=r"quota of 10 leaves 0; give PARAMS=ProcessingConcurrency=0"):
        fitting(values(**asked), asked, [], client, print)


def test_what_a_stack_reserves_already_is_its_own() -> None:
    client, stubber = account(1000, 100, batch=wanted() - 1, stream=1)
    assert fitting(values(), {}, ["batch", "stream"], client, print) == {}
    stubber.assert_no_pending_responses()
    client, _ = account(1000, 100, batch=wanted() - 1, stream=0)
    with pytest.raises(DeployError, match=rf"would reserve {wanted()} .* leaves {wanted() - 1}"):
        fitting(values(), {}, ["batch", "stream"], client, print)


def test_reserving_nothing_is_told_once_the_quota_has_room() -> None:
    said: list[str] = []
    none = values(ProcessingConcurrency="0")
    client, _ = account(10, 10)
    assert fitting(none, {}, [], client, said.append) == {}
    assert said == []
    client, _ = account(1000, 1000)
    assert fitting(none, {}, [], client, said.append) == {}
    assert "has room for it; the default is ProcessingConcurrency=4" in said[0]


def test_a_quota_that_may_not_be_read_stops_nothing() -> None:
    client, stubber = stubbed("lambda")
    stubber.add_client_error("get_account_settings", "AccessDeniedException", "not authorized")
    said: list[str] = []
    assert fitting(values(), {}, [], client, said.append) == {}
    assert said == ["the account's quota of concurrent executions cannot be read: not authorized"]
