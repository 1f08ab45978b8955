"""Faults that somebody might make in the template, with the rule that must catch each."""

from __future__ import annotations

from stock_pipeline_tests.lambdas.edits import Edit
from stock_pipeline_tests.lambdas.faults_access import ACCESS
from stock_pipeline_tests.lambdas.faults_data import DATA
from stock_pipeline_tests.lambdas.faults_running import RUNNING

FAULTS: dict[str, tuple[Edit, str]] = ACCESS | DATA | RUNNING
