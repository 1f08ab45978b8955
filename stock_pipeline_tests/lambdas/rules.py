"""All rules over the template, by their names."""

from __future__ import annotations

from stock_pipeline_tests.lambdas import (
    rules_access,
    rules_alarms,
    rules_buckets,
    rules_parameters,
    rules_queues,
    rules_running,
)
from stock_pipeline_tests.lambdas.template import RULES, Template, transformed

__all__ = [
    "RULES",
    "Template",
    "rules_access",
    "rules_alarms",
    "rules_buckets",
    "rules_parameters",
    "rules_queues",
    "rules_running",
    "transformed",
]
