"""The environment, read once: defaults, every malformed value by name, what is required."""

from __future__ import annotations

import pytest

from stock_pipeline.errors import SettingsError
from stock_pipeline.settings import DEFAULT_SYMBOLS, Settings, documented, variable


def test_an_empty_environment_has_safe_defaults() -> None:
    settings = Settings.from_env({})
    assert (settings.processor, settings.sql_engine, settings.symbols) == ("dagster", "athena", DEFAULT_SYMBOLS)
    assert len(DEFAULT_SYMBOLS) == 16


def test_blank_counts_as_unset() -> None:
    assert Settings.from_env({"STOCK_PIPELINE_SEED": "  "}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lake_bucket", " my-lake ", "my-lake"),
        ("processor", "LAMBDA", "lambda"),
        ("symbols", "aapl, msft,", ("AAPL", "MSFT")),
        ("symbols", "5000", 5000),
        ("seed", "0", 0),
        ("max_object_mb", "64", 64),
        (
            "stream_queue_url",
            "https://sqs.eu-central-1.amazonaws.com/1/q",
            "https://sqs.eu-central-1.amazonaws.com/1/q",
        ),
        ("max_clock_skew_seconds", "0", 0),
        ("rejected_warn_percent", "0", 0.0),
        ("rejected_fail_percent", "2.5", 2.5),
        ("price_step_percent", "1e2", 100.0),
        ("stale_sessions", "1", 1),
    ],
)
def test_each_setting_is_read(name: str, text: str, value: object) -> None:
    assert getattr(Settings.from_env({variable(name): text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("processor", "both"),
        ("sql_engine", "sqlite"),
        ("symbols", ","),
        ("symbols", "0"),
        ("seed", "-1"),
        ("max_object_mb", "1.5"),
        ("max_object_mb", "0"),
        ("max_clock_skew_seconds", "-1"),
        ("rejected_warn_percent", "few"),
        ("rejected_fail_percent", "-1"),
        ("price_step_percent", "nan"),
        ("price_step_percent", "inf"),
        ("stale_sessions", "0"),
    ],
)
def test_a_malformed_setting_is_named_with_what_it_held_and_what_it_takes(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable(name)} is '{text}'; it takes"):
        Settings.from_env({variable(name): text})


def test_a_missing_setting_is_named_in_the_error() -> None:
    with pytest.raises(SettingsError, match=r"STOCK_PIPELINE_LAKE_BUCKET is not set"):
        Settings.from_env({}).require("lake_bucket")
    assert Settings.from_env({"STOCK_PIPELINE_LAKE_BUCKET": "b"}).require("lake_bucket") == "b"


def test_an_endpoint_means_that_sql_runs_here_unless_told_otherwise() -> None:
    local = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
    assert Settings.from_env(local).sql_engine == "duckdb"
    assert Settings.from_env(local | {"STOCK_PIPELINE_SQL_ENGINE": "athena"}).sql_engine == "athena"


def test_every_setting_says_what_it_means() -> None:
    assert len(documented()) >= 9
    assert all(name.startswith("STOCK_PIPELINE_") and meaning for name, meaning in documented().items())


def test_a_setting_that_is_gone_is_not_ignored() -> None:
    with pytest.raises(SettingsError, match=r"STOCK_PIPELINE_TICK_BUCKET_MINUTES is no setting any more: .*layout"):
        Settings.from_env({"STOCK_PIPELINE_TICK_BUCKET_MINUTES": "5"})
    assert Settings.from_env({"STOCK_PIPELINE_TICK_BUCKET_MINUTES": " "}) == Settings.from_env({})
