"""The findings of checks as results in Dagster, each for the materialization that it is about.

Dagster sets that materialization by itself only when a run has a single partition.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Written,  # a field's type of the public AssetCheckEvaluation
)

from stock_pipeline.orchestration.ui.metadata import number, records
from stock_pipeline.quality.finding import Finding

__all__ = ["EXAMPLES", "Finding", "Written", "evaluation", "last_written"]

EXAMPLES = 10
"""The number of rows that the result of a check shows as examples."""


def last_written(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> Written | None:
    """The materialization that a result is about. Without it, the UI shows the result as one of an earlier state."""
    only = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    for record in instance.fetch_materializations(only, limit=1).records:
        return Written(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)
    return None


def evaluation(
    check: dg.AssetCheckKey,
    severity: dg.AssetCheckSeverity,
    finding: Finding,
    partition: str,
    rows: int,
    written: Written | None,
) -> dg.AssetCheckEvaluation:
    """The result of a check of one partition with `rows` rows. `severity` is that of a finding without its own."""
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "rows": dg.MetadataValue.int(rows),
        "found": dg.MetadataValue.int(finding.wrong),
        **{name: number(count) for name, count in finding.counts.items()},
    }
    if finding.wrong and finding.examples is not None:
        metadata["examples"] = records(finding.examples.slice(0, EXAMPLES))
    if finding.error is not None:
        severity = dg.AssetCheckSeverity.ERROR if finding.error else dg.AssetCheckSeverity.WARN
    said = finding.said or f"{finding.wrong:,} found in {rows:,} rows"
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=not finding.wrong,
        severity=severity,
        description=f"{partition}: {said}" if finding.wrong else None,
        metadata=metadata,
        partition=partition,
        target_materialization_data=written,
    )
