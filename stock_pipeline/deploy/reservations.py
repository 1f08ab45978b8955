"""Whether an account's quota has room for what the functions reserve. A new account's quota has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from stock_pipeline.deploy.values import Values
from stock_pipeline.errors import DeployError
from stock_pipeline.progress import Say

PARAMETER = "ProcessingConcurrency"
"""The template's parameter that bounds the functions' concurrency; 0 reserves none."""

_UNRESERVED = 100  # AWS keeps so many for all functions without a reservation, or the whole quota if that is less


def fitting(
    values: Values, asked: Mapping[str, str], functions: Iterable[str], client: Any, report: Say
) -> dict[str, str]:
    """The parameters to change so that the reservations fit into the account's quota; {} if they do.

    `asked` are the parameters that somebody has asked for in this deployment. `functions` are those that the stack has
    now. A new stack reserves nothing if there is no room, and `report` says so. Raises DeployError if somebody has
    asked for more than there is, or a stack that exists would need more.
    """
    try:
        limit = client.get_account_settings()["AccountLimit"]
    except ClientError as error:
        report(f"the account's quota of concurrent executions cannot be read: {error.response['Error'].get('Message')}")
        return {}
    functions = list(functions)
    quota = limit["ConcurrentExecutions"]
    room = limit["UnreservedConcurrentExecutions"] - min(_UNRESERVED, quota)
    wanted = _reserved(values)
    if wanted > room:
        room += sum(_of_function(function, client) for function in functions)
    if wanted <= room:
        if not wanted and _reserved(replace(values, given={**values.given, PARAMETER: _default(values)})) <= room:
            report(
                f"no concurrency is reserved ({PARAMETER}=0), though the account's quota of {quota} has room for it; "
                f"the default is {PARAMETER}={_default(values)}"
            )
        return {}
    told = (
        f"the functions would reserve {wanted} concurrent executions, and the account's quota of {quota} leaves {room}"
    )
    if functions or PARAMETER in asked:
        raise DeployError(
            f"{told}; give PARAMS={PARAMETER}=0, which reserves none, or ask for a higher quota (Service Quotas, AWS "
            "Lambda, Concurrent executions)"
        )
    report(
        f"{told}; so none are reserved ({PARAMETER}=0). Ask for a higher quota, then deploy with "
        f"PARAMS={PARAMETER}={_default(values)}"
    )
    return {PARAMETER: "0"}


def _default(values: Values) -> str:
    return str(values.template["Parameters"][PARAMETER]["Default"])


def _reserved(values: Values) -> int:
    """What the functions of a template reserve together."""
    made = (
        properties.get("ReservedConcurrentExecutions") for _, properties in values.made("AWS::Serverless::Function")
    )
    reserved = [values.of(written) for written in made]
    return sum(int(number) for number in reserved if number is not None)


def _of_function(function: str, client: Any) -> int:
    return int(client.get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions", 0))
