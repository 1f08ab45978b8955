"""Each permission of each role is needed: without it, what it is for does not happen, and with it again it does."""

from __future__ import annotations

import pytest

from stock_pipeline_tests.deployed import account as see
from stock_pipeline_tests.deployed.account import Account, Observation, Permission, permissions
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = pytest.mark.deployed

HAPPENS_WITHIN = 40.0
DOES_NOT_WITHIN = 2.5
"""Seconds. What a permission is for takes a few tenths of a second here."""

NOT_ENFORCED = {
    "WriteTraces": "the emulator has no X-Ray that refuses; held by the rules over the template",
    "KeepMissed": "the emulator's scheduler has no dead-letter queue; held by the rules over the template",
}

OBSERVATIONS: dict[tuple[str, str], Observation] = {
    ("GenerateStockBatchDataRole", "WriteRawObjects"): see.generates_a_session,
    ("GenerateStockBatchDataRole", "TellMissingFromForbidden"): see.generates_a_session,
    ("GenerateDailyScheduleRole", "InvokeGenerator"): see.runs_generator_on_schedule,
    ("ProcessBatchStockDataRole", "ReadRawObjects"): see.ingests_daily_prices,
    ("ProcessBatchStockDataRole", "MergeIntoTables"): see.ingests_daily_prices,
    ("ProduceTicksScheduleRole", "InvokeProducer"): see.runs_producer_on_schedule,
    ("WriteRecordsToStreamRole", "SendTicks"): see.produces_ticks,
    ("TickDeliveryRole", "ReadTicks"): see.delivers_from_the_stream,
    ("TickDeliveryRole", "WriteRawObjects"): see.delivers_from_the_stream,
    ("TickDeliveryRole", "KnowTheBucket"): see.delivers_from_the_stream,
    ("TickDeliveryRole", "WriteLogs"): see.delivers_from_the_stream,
    ("ProcessStockStreamDataRole", "ReadRawObjects"): see.ingests_ticks,
    ("ProcessStockStreamDataRole", "MergeIntoTables"): see.ingests_ticks,
    ("ProcessStockStreamDataRole", "TakeArrivals"): see.is_called_by_the_queue,
    ("ProcessBatchStockDataRole", "TakeArrivals"): see.is_triggered_by_a_daily_file,
    ("ReconcileTablesRole", "FindVersions"): see.heals_lost_events,
    ("ReconcileTablesRole", "ReadRawObjects"): see.heals_lost_events,
    ("ReconcileTablesRole", "MergeIntoTables"): see.heals_lost_events,
    ("ReconcileTablesRole", "ListTables"): see.heals_lost_events,
    ("ReconcileTablesRole", "SendReceipts"): see.sends_receipts_of_what_it_healed,
    ("ReconcileScheduleRole", "InvokeReconcile"): see.runs_reconcile_on_schedule,
    ("ProcessBatchStockDataRole", "SendReceipts"): see.sends_receipts(
        "ProcessBatchStockDataFunction", see.new_daily_file
    ),
    ("ProcessStockStreamDataRole", "SendReceipts"): see.sends_receipts(
        "ProcessStockStreamDataFunction", see.new_tick_object
    ),
}
for _function in (
    "GenerateStockBatchData", "ProcessBatchStockData", "WriteRecordsToStream", "ProcessStockStreamData",
    "ReconcileTables",
):  # fmt: skip
    OBSERVATIONS[f"{_function}Role", "WriteLogs"] = see.writes_logs(f"{_function}Function")
    OBSERVATIONS[f"{_function}Role", "ReportFailures"] = see.reports_failures(f"{_function}Function")

# Of the two buckets that a processing function may list, the first is staging and the second the lake.
LISTING: dict[tuple[str, int], Observation] = {
    ("ProcessBatchStockDataRole", 0): see.tells_a_missing_daily_file,
    ("ProcessBatchStockDataRole", 1): see.ingests_daily_prices,
    ("ProcessStockStreamDataRole", 0): see.tells_a_missing_tick_object,
    ("ProcessStockStreamDataRole", 1): see.ingests_ticks,
}


# An event names a version of an object, and that is another permission than to read what is there now.
VERSIONS: dict[str, Observation] = {
    "ProcessBatchStockDataRole": see.ingests_the_version_named,
    "ProcessStockStreamDataRole": see.ingests_the_version_of_ticks_named,
}


def observation_of(permission: Permission) -> Observation | None:
    if permission.action == "s3:GetObjectVersion" and permission.role in VERSIONS:
        return VERSIONS[permission.role]
    if permission.sid == "TellMissingFromForbidden" and (permission.role, permission.resource) in LISTING:
        return LISTING[permission.role, permission.resource]
    return OBSERVATIONS.get((permission.role, permission.sid))


ENFORCED = [permission for permission in permissions() if permission.sid not in NOT_ENFORCED]


def test_every_permission_has_an_observation() -> None:
    assert ENFORCED
    assert [str(permission) for permission in ENFORCED if observation_of(permission) is None] == []


@pytest.mark.parametrize("permission", ENFORCED, ids=str)
def test_it_takes_the_permission(account: Account, permission: Permission) -> None:
    happens = observation_of(permission)
    assert happens
    refused = account.refusals()
    with account.lacking(permission):
        assert not happens(account, DOES_NOT_WITHIN), f"{permission} is not needed"
        # So that what was only slow is not taken for refused.
        assert eventually(lambda: account.refusals() > refused), account.log()
    assert happens(account, HAPPENS_WITHIN), account.log()
