"""Which processor the packages are built for: what is asked for, else what the stack has, else the default."""

from __future__ import annotations

from typing import Any

import pytest

from stock_pipeline.deploy.sam import DEFAULT_MACHINE, machine_of
from stock_pipeline.deploy.template import load_template
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import account, described, unknown


def test_the_default_is_the_templates() -> None:
    assert load_template()["Parameters"]["Architecture"]["Default"] == DEFAULT_MACHINE == "arm64"


@pytest.mark.parametrize("has", [None, "arm64", "x86_64"])
@pytest.mark.parametrize("target", [None, "arm64", "x86_64", "host"])
@pytest.mark.parametrize("parameter", [None, "arm64", "x86_64"])
def test_what_is_asked_for_comes_first_and_what_the_stack_has_stays(
    has: str | None, target: str | None, parameter: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudformation = account(monkeypatch)["cloudformation"]
    if has:
        given_before: Any = [{"ParameterKey": "Architecture", "ParameterValue": has}]
        described(cloudformation, "UPDATE_COMPLETE", Parameters=given_before)
    else:
        unknown(cloudformation)
    given = {"Architecture": parameter} if parameter else {}
    asked = {each for each in (parameter, target) if each not in (None, "host")}
    if len(asked) == 2:
        with pytest.raises(DeployError, match="differ; give one of them"):
            machine_of("main", target, given)
        return
    assert machine_of("main", target, given) == (asked.pop() if asked else has or "arm64")
