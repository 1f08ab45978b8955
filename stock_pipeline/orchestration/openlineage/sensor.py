"""The sensor that tells a catalog what Dagster has done.

Events wait while the catalog is away, and go out in their order when it is back. One that was sent just before the
daemon died is sent again, and is the same.
"""

from __future__ import annotations

import os
import time

import dagster as dg

from stock_pipeline.errors import LineageNotSent
from stock_pipeline.extras import require

INTERVAL = 30  # seconds
MOST = 500  # events of a tick
_SENDING = 30.0  # seconds after which a tick begins no further event: it must end within 60


@dg.sensor(
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells a catalog what was done, as events of OpenLineage: runs, and what each of them or a Lambda function "
        "materialized, with its columns, where they come from, and its rows. It is off unless OPENLINEAGE_URL is set."
    ),
)
def openlineage(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    if not os.environ.get("OPENLINEAGE_URL", "").strip():
        return dg.SkipReason("no catalog is told: OPENLINEAGE_URL is not set")
    require("serve", "OPENLINEAGE_URL")
    # Here, as the library takes a second to import and is for few.
    from stock_pipeline.orchestration.openlineage.catalog import Catalog
    from stock_pipeline.orchestration.openlineage.events import Translation
    from stock_pipeline.orchestration.openlineage.history import Cursor, waiting

    assert context.repository_def
    now, deadline = time.time(), time.monotonic() + _SENDING
    cursor, catalog = Cursor.from_json(context.cursor, now), Catalog(os.environ)
    translation = Translation(context.repository_def.asset_graph, catalog.namespace)
    sent = refused = 0
    trouble = ""
    for part, record in waiting(context.instance, cursor, now, MOST):
        if time.monotonic() > deadline:
            break  # the next look goes on here
        try:
            why = catalog.send(translation.of(record))
        except LineageNotSent as error:
            if not sent + refused:
                raise
            trouble = f"; the others wait: {error}"
            break
        if why:
            context.log.error(f"the catalog refuses the event of record {record.storage_id} ({part}): {why}")
        sent, refused = sent + (not why), refused + bool(why)
        cursor.told[part] = record.storage_id
    said = f"{sent} events sent" + (f", {refused} refused" if refused else "") + trouble
    return dg.SensorResult(cursor=cursor.to_json(), skip_reason=dg.SkipReason(said))
