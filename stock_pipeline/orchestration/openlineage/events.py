"""A record of Dagster's history as an event of OpenLineage.

A run of Dagster is a run of its job. A materialization is a run of its own, of a job with the asset's name, and below
the run of Dagster if it has one: what a Lambda function wrote has none. An asset is a dataset with its columns and
where each column comes from. The same record always gives the same event, so one that is sent twice is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import dagster as dg
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)

PRODUCER = "urn:stock-pipeline:dagster"
set_producer(PRODUCER)

_STATES = {
    dg.DagsterEventType.RUN_START: RunState.START,
    dg.DagsterEventType.RUN_SUCCESS: RunState.COMPLETE,
    dg.DagsterEventType.RUN_FAILURE: RunState.FAIL,
    dg.DagsterEventType.RUN_CANCELED: RunState.ABORT,
}
T = TypeVar("T")


@dataclass(frozen=True)
class Translation:
    """Makes events. Jobs and datasets are named within `namespace`; `graph` knows the columns and what is upstream."""

    graph: dg.BaseAssetGraph[Any]
    namespace: str

    def of(self, record: dg.EventLogRecord) -> RunEvent:
        """The event of a record of a materialization or of a run that started or ended."""
        if record.asset_materialization:
            return self._materialization(record, record.asset_materialization)
        entry = record.event_log_entry
        return RunEvent(
            eventTime=_time(entry.timestamp),
            eventType=_STATES[entry.get_dagster_event().event_type],
            run=Run(entry.run_id),
            job=Job(self.namespace, entry.job_name or ""),
        )

    def _materialization(self, record: dg.EventLogRecord, made: dg.AssetMaterialization) -> RunEvent:
        entry, node = record.event_log_entry, self._node(made.asset_key)
        name = _name(made.asset_key)
        which = f"{entry.run_id} {name} {made.partition} {record.storage_id} {entry.timestamp}"
        facets: dict[str, Any] = {}
        if entry.run_id:
            facets["parent"] = parent_run.ParentRunFacet(
                parent_run.Run(entry.run_id), parent_run.Job(self.namespace, entry.job_name or "")
            )
        if made.partition and node and isinstance(node.partitions_def, dg.TimeWindowPartitionsDefinition):
            window = node.partitions_def.time_window_for_partition_key(made.partition)
            facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(
                window.start.isoformat(), window.end.isoformat()
            )
        return RunEvent(
            eventTime=_time(entry.timestamp),
            eventType=RunState.COMPLETE,
            run=Run(str(uuid5(NAMESPACE_URL, f"{self.namespace} {which}")), facets),
            job=Job(self.namespace, name),
            inputs=[InputDataset(self.namespace, _name(key)) for key in sorted(node.parent_keys)] if node else [],
            outputs=[self._output(made, node)],
        )

    def _output(self, made: dg.AssetMaterialization, node: dg.BaseAssetNode | None) -> OutputDataset:
        metadata = {**(node.metadata if node else {}), **made.metadata}
        facets: dict[str, Any] = {}
        if columns := _found(metadata, "dagster/column_schema", dg.TableSchema):
            facets["schema"] = schema_dataset.SchemaDatasetFacet(
                [schema_dataset.SchemaDatasetFacetFields(c.name, c.type, c.description) for c in columns.columns]
            )
        if lineage := _found(metadata, "dagster/column_lineage", dg.TableColumnLineage):
            facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
                {
                    column: column_lineage_dataset.Fields(
                        [
                            column_lineage_dataset.InputField(self.namespace, _name(dep.asset_key), dep.column_name)
                            for dep in deps
                        ]
                    )
                    for column, deps in lineage.deps_by_column.items()
                }
            )
        rows = _found(metadata, "dagster/row_count", int)
        counted = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)
        return OutputDataset(
            self.namespace,
            _name(made.asset_key),
            facets=facets,
            outputFacets={} if rows is None else {"outputStatistics": counted},
        )

    def _node(self, key: dg.AssetKey) -> dg.BaseAssetNode | None:
        """An asset that there is no more has a history, but no node."""
        return self.graph.get(key) if self.graph.has(key) else None


def _found(metadata: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """A value of metadata, which Dagster has wrapped where it was stored."""
    value = metadata.get(name)
    value = getattr(value, "value", value)
    return value if isinstance(value, kind) else None


def _name(key: dg.AssetKey) -> str:
    return "/".join(key.path)


def _time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()
