"""One source for each `dagster.yaml`: only storage, logs and launcher differ, and Dagster takes each of them."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from stock_pipeline.errors import SettingsError
from stock_pipeline.local.dev.instance_file import SOURCE, VARIABLES, instance_file

POSTGRES = {
    "DAGSTER_POSTGRES_HOST": "db.example",
    "DAGSTER_POSTGRES_USER": "dagster",
    "DAGSTER_POSTGRES_PASSWORD": "s3cr3t",  # pragma: allowlist secret
}
LOGS = {"DAGSTER_LOGS_BUCKET": "logs"}
ECS = {
    "DAGSTER_ECS_CLUSTER": "dagster",
    "DAGSTER_ECS_TASK_DEFINITION": "stock-pipeline-main-run",
    "DAGSTER_ECS_SUBNETS": "subnet-1,subnet-2",
    "DAGSTER_ECS_SECURITY_GROUPS": "sg-1",
}
PARTS = {"storage": POSTGRES, "compute_logs": LOGS, "run_launcher": ECS}


def test_without_variables_it_is_the_laptops_to_the_letter() -> None:
    assert instance_file({}) == instance_file({"DAGSTER_POSTGRES_HOST": " ", "PATH": "x"}) == SOURCE.read_text()


@pytest.mark.parametrize("part", [*PARTS, "all"])
def test_only_what_is_set_takes_the_place_of_the_laptops(part: str) -> None:
    env = {name: value for each in PARTS.values() for name, value in each.items()} if part == "all" else PARTS[part]
    ours, laptops = yaml.safe_load(instance_file(env)), yaml.safe_load(SOURCE.read_text())
    changed = {name for name in {**ours, **laptops} if ours.get(name) != laptops.get(name)}
    assert changed == (set(PARTS) if part == "all" else {part})
    for kept in ("concurrency", "run_monitoring", "run_retries", "retention", "freshness", "sensors", "telemetry"):
        assert ours[kept] == laptops[kept]


def test_the_password_is_in_no_file() -> None:
    assert POSTGRES["DAGSTER_POSTGRES_PASSWORD"] not in instance_file({**POSTGRES, **ECS, **LOGS})


def test_a_connection_is_encrypted_unless_somebody_says_otherwise() -> None:
    def mode(env: dict[str, str]) -> str:
        return str(yaml.safe_load(instance_file(env))["storage"]["postgres"]["postgres_db"]["params"]["sslmode"])

    assert mode(POSTGRES) == "require"
    assert mode({**POSTGRES, "DAGSTER_POSTGRES_SSLMODE": "verify-full"}) == "verify-full"


@pytest.mark.parametrize("missing", [name for name in (*POSTGRES, *ECS) if not name.endswith(("_HOST", "_CLUSTER"))])
def test_what_is_missing_is_named_with_its_meaning(missing: str) -> None:
    env = {name: value for name, value in {**POSTGRES, **ECS}.items() if name != missing}
    with pytest.raises(SettingsError, match=f"{missing} is not set, but .* is; it takes the "):
        instance_file(env)


@pytest.mark.parametrize("port", ["x", "0", "70000", "-1"])
def test_a_malformed_port_is_named(port: str) -> None:
    with pytest.raises(SettingsError, match="DAGSTER_POSTGRES_PORT"):
        instance_file({**POSTGRES, "DAGSTER_POSTGRES_PORT": port})


def test_every_variable_says_what_it_means() -> None:
    assert set(POSTGRES) | set(LOGS) | set(ECS) < set(VARIABLES)
    assert all(VARIABLES.values())


def test_dagster_takes_logs_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("DAGSTER_LOGS_BUCKET", "logs")
    (tmp_path / "dagster.yaml").write_text(instance_file(LOGS))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert type(instance.run_launcher).__name__ == "SameMachineRunLauncher"
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 3
