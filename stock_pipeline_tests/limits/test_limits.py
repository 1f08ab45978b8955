"""The limits of memory: bombs, huge objects and endless lines, refused or taken within a bound that is measured.

Each ingest runs in a process of its own, whose peak of memory (VmHWM) counts from after the object was made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from stock_pipeline.deploy.template import load_template
from stock_pipeline.ingest.daily import GROUP_BYTES
from stock_pipeline.settings import MIB

pytestmark = pytest.mark.limits

BASE, FACTOR = 220, 9  # MiB that an ingest takes, and how many times the size of the object on top of it


def measured(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "stock_pipeline_tests.limits.measure", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    found = dict(json.loads(run.stdout))
    print(" ".join(arguments), found)
    return found


@pytest.mark.parametrize("kind", ["daily", "ticks"])
@pytest.mark.parametrize("pack", ["gzip", "zip"])
def test_a_bomb_of_1000_to_1_is_refused_under_256_mb(kind: str, pack: str) -> None:
    found = measured(kind, "zeros", "--pack", pack, "--mib", "1000")
    assert found["stored_mib"] < 1.1
    assert "more than 200 times its size" in found["refused"]
    assert found["peak_mib"] < 256


@pytest.mark.parametrize("kind", ["daily", "ticks"])
def test_an_object_of_2_gb_is_refused_before_it_is_fetched(kind: str) -> None:
    found = measured(kind, "rows", "--pack", "sparse", "--mib", "2048")
    assert "over the limit of 1024 MiB" in found["refused"]
    assert found["peak_mib"] < 256


@pytest.mark.parametrize("kind", ["daily", "ticks"])
def test_an_object_that_unpacks_to_more_than_the_limit_is_refused_without_unpacking_it(kind: str) -> None:
    found = measured(kind, "rows", "--pack", "gzip", "--mib", "200", "--limit", "100")
    assert "larger than 100 MiB of text" in found["refused"]
    assert found["peak_mib"] < 256


@pytest.mark.parametrize("kind", ["daily", "ticks"])
@pytest.mark.parametrize("pack", ["plain", "gzip"])
def test_an_object_of_the_largest_size_is_taken_within_what_the_limit_says(kind: str, pack: str) -> None:
    found = measured(kind, "rows", "--pack", pack, "--mib", "60", "--limit", "61")
    assert found["refused"] is None
    assert found["rows"] > 500_000
    assert found["peak_mib"] < BASE + FACTOR * 61


@pytest.mark.parametrize(("kind", "most"), [("daily", 256), ("ticks", 512)])
def test_a_line_of_100_mb_is_refused_or_rejected(kind: str, most: int) -> None:
    found = measured(kind, "line", "--mib", "100")
    assert "longer than 4 MiB" in str(found["refused"]) or found["rejected"] == {"line_too_long": 1}
    assert found["peak_mib"] < most


@pytest.mark.parametrize("kind", ["daily", "ticks"])
def test_an_object_of_nothing_but_broken_rows_is_refused_within_a_gigabyte(kind: str) -> None:
    found = measured(kind, "bad", "--mib", "48")
    assert "1,000,000" in found["refused"].replace("1000000", "1,000,000")
    assert found["peak_mib"] < 1024


def test_what_the_deployed_functions_take_fits_into_their_memory() -> None:
    template = load_template()
    limit = template["Parameters"]["MaxObjectMb"]["Default"]
    functions = [
        resource["Properties"]
        for resource in template["Resources"].values()
        if "STOCK_PIPELINE_MAX_OBJECT_MB" in json.dumps(resource) and resource["Type"] == "AWS::Serverless::Function"
    ]
    assert len(functions) == 3
    assert all(BASE + FACTOR * limit < function["MemorySize"] for function in functions)
    # A queue calls with many files, and a group of them is merged together.
    assert BASE + FACTOR * (limit + GROUP_BYTES // MIB) < min(function["MemorySize"] for function in functions)
