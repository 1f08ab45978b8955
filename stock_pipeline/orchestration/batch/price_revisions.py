"""The table of former versions of bars as an asset, its check, and the metadata of the ingests that wrote to it.

The ingest that changes a row of price_by_date writes the former version first, so both are reported together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.maintenance.remove import remove_source
from stock_pipeline.orchestration.evaluations import EXAMPLES
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.ui.catalog import BATCH, OWNERS, described, description_of
from stock_pipeline.orchestration.ui.metadata import beside_metadata, column_schema, records
from stock_pipeline.quality.revisions import unfinished
from stock_pipeline.query import sql
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS

price_revisions = dg.AssetSpec(
    PRICE_REVISIONS.name,
    deps=[PRICE_BY_DATE.name],
    description=description_of(
        PRICE_REVISIONS,
        f"{PRICE_REVISIONS.description} A restatement, a file that completes a bar or renews its adjusted close, a "
        "removal and a rebuild write it before they change the bar.",
    ),
    group_name=BATCH,
    owners=OWNERS,
    kinds={"s3", "parquet", "athena"},
    tags={"layer": "clean"},
    metadata=described(
        column_schema(PRICE_REVISIONS),
        ingest_daily_prices,
        remove_source,
        sql,
        derived_from={PRICE_BY_DATE.name: PRICE_BY_DATE.schema.names},
        table=PRICE_REVISIONS,
    ),
)


@dg.asset_check(
    asset=price_revisions.key,
    description=(
        "Versions that are on record as former ones, and are still in price_by_date: a restatement, a removal or a "
        "rebuild was interrupted before its commit. Run it again. Queries of the past are right in any case."
    ),
)
def changes_finished(buckets: Buckets) -> dg.AssetCheckResult:
    with as_dagster_failures():
        finding = unfinished(buckets.lake)
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "versions": dg.MetadataValue.int(int(finding.counts["versions"])),
        "found": dg.MetadataValue.int(finding.wrong),
    }
    if finding.wrong and finding.examples is not None:
        metadata["examples"] = records(finding.examples.slice(0, EXAMPLES))
    return dg.AssetCheckResult(
        passed=not finding.wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=finding.said or None,
        metadata=metadata,
    )


def with_revised(receipts: Iterable[Receipt]) -> list[Receipt]:
    """The receipts of ingests that changed stored bars, or may have: a completed row may be new in its own file."""
    return [r for r in receipts if r.table == PRICE_BY_DATE.name and (r.replaced or r.updated)]


def report_revised(context: dg.AssetExecutionContext, receipts: Iterable[Receipt], lake: ObjectStore) -> None:
    """If the ingests of a run changed stored bars, report that as well."""
    if own := with_revised(receipts):
        context.log_event(
            dg.AssetMaterialization(price_revisions.key, metadata=beside_metadata(PRICE_REVISIONS, own, lake))
        )
