"""The check of the lake's objects: each is the pipeline's own, and can be read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from stock_pipeline.orchestration.evaluations import EXAMPLES
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.stream.assets import stream_prices_history
from stock_pipeline.orchestration.ui.metadata import records
from stock_pipeline.quality.lake_objects import examine_objects

_RECENT = timedelta(hours=1)
_MOST = 100


@dg.asset_check(
    asset=stream_prices_history.key,
    description=(
        "The folders of all tables hold only the pipeline's own objects, and those can be read. Athena reads every "
        "object in a folder, so a foreign one doubles rows there. Of each table, objects of the last hour are read."
    ),
)
def objects_own_and_whole(buckets: Buckets) -> dg.AssetCheckResult:
    with as_dagster_failures():
        found = examine_objects(buckets.lake, datetime.now(UTC) - _RECENT, _MOST)
    wrong = found.table()
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "foreign": dg.MetadataValue.int(len(found.foreign)),
        "unreadable": dg.MetadataValue.int(len(found.unreadable)),
        "read": dg.MetadataValue.int(found.read),
    }
    if wrong.num_rows:
        metadata["examples"] = records(wrong.slice(0, EXAMPLES))
    return dg.AssetCheckResult(
        passed=not wrong.num_rows,
        description=f"{len(found.foreign):,} foreign and {len(found.unreadable):,} unreadable objects"
        if wrong.num_rows
        else None,
        metadata=metadata,
    )
