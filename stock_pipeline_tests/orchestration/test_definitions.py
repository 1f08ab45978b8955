"""The definitions as a whole: they load without an environment, and hold what the project promises."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml

from stock_pipeline.definitions import defs
from stock_pipeline.orchestration.batch.assets import PRICE_COLUMNS, price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.jobs import after_the_close
from stock_pipeline.orchestration.partitions import DAILY, YEARLY, daily_sessions, has_year
from stock_pipeline.orchestration.stream.reports import LATEST_COLUMNS, TICK_COLUMNS
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.simulate.sessions import sessions

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
        "raw_stream_ticks": [],
        "price_by_date_stream": ["raw_stream_ticks"],
        "latest_stream_prices": ["price_by_date_stream"],
    }
    assert sorted((key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys) == [
        ("latest_stream_prices", "snapshot_equals_history"),
        ("price_by_date", "keys_unique"),
        ("price_by_date", "ohlc_consistent"),
        ("price_by_date", "rows_in_their_year"),
        ("price_by_date", "sessions_complete"),
        ("price_by_date_stream", "clocks_agree"),
        ("price_by_date_stream", "event_ids_unique"),
        ("raw_stream_ticks", "dead_letters_none"),
    ]
    assert {j.name for j in defs.jobs or ()} == {
        "simulate_daily_prices",
        "ingest_daily_prices",
        "ingest_ticks",
        "refresh_latest_prices",
        "check_stream",
        "check_prices",
        "reconcile",
    }
    assert [s.name for s in defs.sensors or ()] == ["daily_price_arrivals", "tick_arrivals", "lambda_receipts"]
    assert [s.name for s in defs.schedules or ()] == ["after_the_close", "every_quarter_hour", "every_hour"]


def test_every_asset_says_what_it_is() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        description = str(node.description)
        assert "row is" in description or "one row a" in description, key
        group = "stream" if "stream" in key.to_user_string() else "batch"
        assert (node.group_name, bool(node.owners), bool(node.kinds), bool(node.tags)) == (group, True, True, True), key


def test_ticks_are_expected_while_the_exchange_trades_and_after_its_longest_pause() -> None:
    graph = defs.resolve_asset_graph()
    history, latest = (graph.get(dg.AssetKey(name)) for name in ("price_by_date_stream", "latest_stream_prices"))
    assert history.freshness_policy.fail_window.to_timedelta() > timedelta(hours=89.5)
    assert (latest.freshness_policy.deadline_cron, latest.freshness_policy.timezone) == (
        "0 10-16 * * 1-5",
        "America/New_York",
    )


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
    answer = after_the_close(context)
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


def test_the_workspace_names_the_definitions() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["python_module"]["module_name"] == "stock_pipeline.definitions"
