"""What a check's result of one partition is for. Dagster fills it in by itself only when a run has a single one."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Written,  # a field's type of the public AssetCheckEvaluation
)

__all__ = ["Written", "last_written"]


def last_written(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> Written | None:
    """The materialization that a result is for: without it, the UI takes the result for one of an earlier state."""
    only = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    for record in instance.fetch_materializations(only, limit=1).records:
        return Written(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)
    return None
