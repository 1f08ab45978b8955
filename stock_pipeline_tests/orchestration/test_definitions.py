"""The definitions as a whole: they load without an environment, and hold what the project promises."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module

from stock_pipeline.definitions import defs
from stock_pipeline.orchestration.batch.assets import PRICE_COLUMNS, price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.jobs import check_prices_after_close, simulate_after_close
from stock_pipeline.orchestration.partitions import DAILY, YEARLY, daily_sessions, has_year
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.reports import LATEST_COLUMNS, TICK_COLUMNS
from stock_pipeline.schemas import DATABASE, LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, TABLES, Table
from stock_pipeline.trading_calendar.sessions import session_times, sessions

ROOT = Path(__file__).parents[2]


def test_everything_is_there_and_loads() -> None:
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    names = {
        key.to_user_string(): sorted(k.to_user_string() for k in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert names == {
        "daily_price_uploads": [],
        "raw_daily_prices": [],
        "price_by_date": ["daily_price_uploads", "raw_daily_prices"],
        "price_revisions": ["price_by_date"],
        "tick_stream": [],
        "raw_stream_ticks": ["tick_stream"],
        "stream_prices_history": ["raw_stream_ticks"],
        "trade_corrections": ["raw_stream_ticks"],
        "latest_prices": ["stream_prices_history"],
        "rejected_records": ["daily_price_uploads", "raw_daily_prices", "raw_stream_ticks"],
    }
    assert sorted((key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys) == [
        ("latest_prices", "snapshot_equals_history"),
        ("latest_prices", "symbols_current"),
        ("price_by_date", "conflicts"),
        ("price_by_date", "keys_unique"),
        ("price_by_date", "ohlc_consistent"),
        ("price_by_date", "price_steps"),
        ("price_by_date", "rejected_share"),
        ("price_by_date", "rows_in_their_year"),
        ("price_by_date", "sessions_complete"),
        ("price_by_date", "symbols_current"),
        ("price_revisions", "changes_finished"),
        ("raw_stream_ticks", "dead_letters_none"),
        ("stream_prices_history", "clocks_agree"),
        ("stream_prices_history", "event_ids_unique"),
        ("stream_prices_history", "objects_own_and_whole"),
        ("stream_prices_history", "price_steps"),
        ("stream_prices_history", "rejected_share"),
    ]
    assert {j.name for j in defs.jobs or ()} == JOBS
    assert [s.name for s in defs.sensors or ()] == [
        "daily_price_arrivals",
        "tick_arrivals",
        "lambda_receipts",
        "alerts",
        "openlineage",
    ]
    assert [s.name for s in defs.schedules or ()] == [
        "simulate_after_close",
        "check_prices_after_close",
        "check_stream_every_15_minutes",
        "reconcile_hourly",
    ]


JOBS = {
    "simulate_daily_prices",
    "ingest_daily_prices",
    "ingest_ticks",
    "refresh_latest_prices",
    "check_stream",
    "check_prices",
    "backfill_daily_prices",
    "rebuild_year",
    "restate_prices",
    "remove_source",
    "replay_rejects",
    "reconcile",
}
GROUPS = {
    "batch": {"daily_price_uploads", "raw_daily_prices", "price_by_date", "price_revisions"},
    "stream": {"tick_stream", "raw_stream_ticks", "stream_prices_history", "trade_corrections", "latest_prices"},
    "quality": {"rejected_records"},
}
ICONS = {"s3", "aws", "athena", "csv", "parquet", "table", "file"}
"""Kinds that the UI has a picture for."""


def test_every_asset_says_what_it_is() -> None:
    graph = defs.resolve_asset_graph()
    groups: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        groups.setdefault(node.group_name, set()).add(key.to_user_string())
        description = str(node.description)
        assert "row is" in description or "one row per" in description, key
        assert (bool(node.owners), bool(node.kinds), set(node.tags)) == (True, True, {"layer"} | kind_tags(node)), key
        assert node.kinds <= ICONS, key
    assert groups == GROUPS


def kind_tags(node: dg.BaseAssetNode) -> set[str]:
    return {f"dagster/kind/{kind}" for kind in node.kinds}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_each_table_is_one_asset_of_its_name_that_says_how_to_query_it(table: Table) -> None:
    graph = defs.resolve_asset_graph()
    assert [key.path for key in graph.get_all_asset_keys() if table.name in key.path] == [[table.name]]
    node = graph.get(dg.AssetKey(table.name))
    assert node.metadata["dagster/table_name"] == f"{DATABASE}.{table.name}"
    columns = {column.name for column in node.metadata["dagster/column_schema"].columns}
    assert columns == {column.name for column in table.columns}
    for said in (
        f"`{DATABASE}.{table.name}`",
        f"`{table.prefix}`",
        *(f"`{name}`" for name in TO_GIVE.get(table.name, ())),
    ):
        assert said in str(node.description)


TO_GIVE = {"price_by_date": ("year",), "stream_prices_history": ("year", "month", "day")}
"""The partition columns that a statement wants conditions on."""


def test_every_asset_names_its_columns_and_the_code_behind_it() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        metadata = graph.get(key).metadata
        columns = metadata["dagster/column_schema"].columns
        assert columns, key
        assert all(column.type and column.description for column in columns), key
        for reference in metadata["dagster/code_references"].code_references:
            source = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1 :]
            assert any(line.startswith(("def ", "@dg.")) for line in source[:1]), (key, reference)


def test_column_lineage_leads_from_sql_to_the_raw_rows() -> None:
    graph = defs.resolve_asset_graph()

    def roots(asset: str, column: str) -> set[str]:
        lineage = graph.get(dg.AssetKey.from_user_string(asset)).metadata.get("dagster/column_lineage")
        deps = lineage.deps_by_column.get(column, []) if lineage else []
        if not deps:
            return {f"{asset}.{column}"}
        return {root for dep in deps for root in roots(dep.asset_key.to_user_string(), dep.column_name)}

    assert roots("price_by_date", "close") == {"raw_daily_prices.close", "daily_price_uploads.close"}
    assert roots("price_by_date", "adj_close") == {"daily_price_uploads.adj_close"}
    assert roots("latest_prices", "price") == {"tick_stream.price"}
    assert roots("latest_prices", "etl_loading_ts") == {"stream_prices_history.etl_loading_ts"}
    for key in graph.get_all_asset_keys():
        lineage = graph.get(key).metadata.get("dagster/column_lineage")
        for dep in [dep for deps in lineage.deps_by_column.values() for dep in deps] if lineage else []:
            assert dep.asset_key in graph.get(key).parent_keys
            assert dep.column_name in {
                c.name for c in graph.get(dep.asset_key).metadata["dagster/column_schema"].columns
            }


def test_no_pause_of_the_exchange_makes_ticks_stale() -> None:
    days = sessions(date(2022, 1, 1), date(2049, 12, 31))
    times = [session_times(day) for day in days]
    longest = max(opened - closed for (_, closed), (opened, _) in pairwise(times))
    assert longest == timedelta(hours=92.5)
    graph = defs.resolve_asset_graph()
    for name in ("stream_prices_history", "latest_prices"):
        policy = graph.get(dg.AssetKey(name)).freshness_policy
        assert policy.warn_window.to_timedelta() > longest
        assert policy.fail_window.to_timedelta() > policy.warn_window.to_timedelta()


def test_prices_are_expected_by_the_evening_of_each_session() -> None:
    graph = defs.resolve_asset_graph()
    for name in ("raw_daily_prices", "price_by_date"):
        policy = graph.get(dg.AssetKey(name)).freshness_policy
        assert (policy.deadline_cron, policy.timezone) == ("0 22 * * 1-5", "America/New_York")
        deadline = datetime(2024, 7, 3, 22, tzinfo=ZoneInfo(policy.timezone))
        _, closed = session_times(deadline.date() - timedelta(days=1))  # a full session
        assert deadline - timedelta(days=1) - policy.lower_bound_delta == closed


def test_runs_take_turns_at_the_snapshot_and_killed_ones_are_started_again() -> None:
    instance = yaml.safe_load(resources.files("stock_pipeline").joinpath("orchestration/dagster.yaml").read_text())
    assert instance["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
    for job in ("ingest_ticks", "refresh_latest_prices"):
        assert defs.resolve_job_def(job).graph.node_named("stream_prices").definition.pool == "latest_prices"
    assert instance["run_retries"] == {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False}
    again = {job.name for job in map(defs.resolve_job_def, JOBS) if job.tags.get("dagster/max_retries") == "2"}
    assert again == {
        "simulate_daily_prices",
        "backfill_daily_prices",
        "rebuild_year",
        "replay_rejects",
        "remove_source",
    }


@pytest.mark.parametrize(("day", "asks"), [("2024-07-03", [2024]), ("2024-07-04", None), ("2024-12-31", [2024])])
def test_the_year_is_checked_late_after_each_session(
    day: str, asks: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_LAKE_BUCKET", "lake")
    evening = datetime.fromisoformat(f"{day}T22:00").replace(tzinfo=ZoneInfo("America/New_York"))

    def asked() -> dg.RunRequest | dg.SkipReason:
        context = dg.build_schedule_context(scheduled_execution_time=evening, resources={"buckets": Buckets()})
        answer = check_prices_after_close(context)
        assert isinstance(answer, (dg.RunRequest, dg.SkipReason))
        return answer

    answer = asked()
    years = answer.run_config["ops"]["check_years"]["config"]["years"] if isinstance(answer, dg.RunRequest) else None
    assert years == asks
    monkeypatch.delenv("STOCK_PIPELINE_LAKE_BUCKET")
    assert isinstance(asked(), dg.SkipReason)


@pytest.mark.parametrize(
    ("schema", "table"),
    [(PRICE_COLUMNS, PRICE_BY_DATE), (TICK_COLUMNS, STREAM_PRICES_HISTORY), (LATEST_COLUMNS, LATEST_PRICES)],
)
def test_column_schemas_are_those_of_the_tables(schema: dg.TableSchema, table: Table) -> None:
    assert [(c.name, c.type, c.constraints.nullable) for c in schema.columns] == [
        (c.name, c.athena_type, c.nullable) for c in table.columns
    ]


def test_the_column_schema_is_that_of_the_table() -> None:
    columns = {column.name: column for column in PRICE_COLUMNS.columns}
    assert list(columns) == PRICE_BY_DATE.schema.names
    assert [c.name for c in columns.values() if c.constraints.nullable] == [
        "open",
        "high",
        "low",
        "adj_close",
        "volume",
        "adj_known_at",
    ]
    assert columns["close"].type == "double"
    assert all(column.description for column in columns.values())


def test_sensors_and_schedules_are_on_by_default() -> None:
    assert {s.default_status for s in defs.sensors or ()} == {dg.DefaultSensorStatus.RUNNING}
    assert {s.default_status for s in defs.schedules or ()} == {dg.DefaultScheduleStatus.RUNNING}


def test_loading_needs_no_environment_and_no_aws(tmp_path: Path) -> None:
    """The code location must come up wherever it is installed, and say what is missing only when it runs."""
    code = (
        "import socket\n"
        "def refuse(*args): raise AssertionError('the network is not for loading')\n"
        "socket.create_connection = socket.socket.connect = refuse\n"
        "import stock_pipeline.definitions as d, dagster as dg\n"
        "dg.Definitions.validate_loadable(d.defs)\n"
    )
    subprocess.run([sys.executable, "-c", code], env={"PATH": "", "HOME": str(tmp_path)}, cwd=ROOT, check=True)


def test_daily_partitions_are_the_sessions_that_have_closed() -> None:
    keys = DAILY.get_partition_keys(current_time=datetime(2025, 1, 3, tzinfo=UTC))
    assert keys == [day.isoformat() for day in sessions(date(2022, 1, 1), date(2025, 1, 2))]
    assert len([key for key in keys if key < "2025"]) == 753


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        (
            "2024-07-03T23:59",
            "2024-07-02",
        ),  # a half day: the session of 3 July has closed, its partition comes at midnight
        ("2024-07-04T00:00", "2024-07-03"),
        ("2024-07-05T23:59", "2024-07-03"),  # 4 July is a holiday
        ("2024-07-06T00:00", "2024-07-05"),
        ("2024-07-08T12:00", "2024-07-05"),
    ],
)
def test_a_session_is_no_partition_before_midnight_utc(moment: str, last: str) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert daily_sessions(now.date()).get_partition_keys(current_time=now)[-1] == last


def test_the_current_year_is_a_partition_from_its_first_day_on() -> None:
    first_day = datetime(2025, 1, 1, 0, 0, 1, tzinfo=UTC)
    keys = YEARLY.get_partition_keys(current_time=first_day)
    assert (keys[0], keys[-1]) == ("1962", "2025")
    now = datetime.now(UTC).year
    assert [has_year(year) for year in (1961, 1962, now, now + 1)] == [False, True, True, False]


def test_a_year_depends_on_its_sessions_also_while_it_is_not_over() -> None:
    (dependency,) = [
        dep for dep in price_by_date.specs_by_key[price_by_date.key].deps if dep.asset_key == raw_daily_prices.key
    ]
    mapping = dependency.partition_mapping
    for year, now in ((2024, "2025-06-01"), (2025, "2025-06-01")):
        moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
        upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(
            YEARLY.subset_with_partition_keys([str(year)]), YEARLY, DAILY, current_time=moment
        )
        expected = [day.isoformat() for day in sessions(date(year, 1, 1), min(date(year, 12, 31), date(2025, 5, 31)))]
        # Dagster adds the session before a year that begins on a day without one, that is, every year.
        assert sorted(upstream.partitions_subset.get_partition_keys())[1:] == expected


@pytest.mark.parametrize(
    ("day", "asks"),
    [
        ("2024-07-02", "2024-07-02"),
        ("2024-07-03", "2024-07-03"),  # a half day
        ("2024-07-04", None),  # a holiday
        ("2024-12-24", "2024-12-24"),
        ("2024-12-25", None),
    ],
)
def test_the_schedule_asks_for_the_session_that_just_closed(day: str, asks: str | None) -> None:
    evening = datetime.fromisoformat(f"{day}T20:05").replace(tzinfo=ZoneInfo("America/New_York"))
    context = dg.build_schedule_context(scheduled_execution_time=evening)
    answer = simulate_after_close(context)
    assert (answer.partition_key if isinstance(answer, dg.RunRequest) else None) == asks
    if asks:
        moment = evening.astimezone(UTC)
        assert daily_sessions(moment.date()).get_partition_keys(current_time=moment)[-1] == asks


def test_the_instance_that_dev_runs_on_is_valid(tmp_path: Path) -> None:
    text = resources.files("stock_pipeline").joinpath("orchestration/dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_settings("sensors")["use_threads"]
        assert instance.telemetry_enabled is False
        assert instance.freshness_enabled is True
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 3


def test_dagster_finds_the_definitions_in_the_module_that_the_workspace_names() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    module = workspace["load_from"][0]["python_module"]["module_name"]
    (found,) = loadable_targets_from_python_module(module, working_directory=None)
    assert found.target_definition is defs
