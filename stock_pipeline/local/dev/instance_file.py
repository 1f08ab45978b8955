"""The file `dagster.yaml` of each Dagster of this package: one source, and what the environment says of the place.

The source is `orchestration/dagster.yaml`, which is that of a laptop. In AWS, three parts differ, and each is there
when its variables are: the storage (PostgreSQL), the logs of runs (a bucket) and the launcher of runs (tasks of ECS).
Limits, pools, retention and monitoring are the same everywhere. Passwords stay in the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import stock_pipeline
from stock_pipeline.errors import SettingsError

SOURCE = Path(stock_pipeline.__file__).parent / "orchestration" / "dagster.yaml"

VARIABLES = {
    "DAGSTER_POSTGRES_HOST": "host of the PostgreSQL that keeps Dagster's history; without it, SQLite does",
    "DAGSTER_POSTGRES_PORT": "its port (5432)",
    "DAGSTER_POSTGRES_DB": "its database (dagster)",
    "DAGSTER_POSTGRES_USER": "its user",
    "DAGSTER_POSTGRES_PASSWORD": "the password of that user",  # pragma: allowlist secret
    "DAGSTER_POSTGRES_SSLMODE": "whether the connection must be encrypted, in the words of libpq (require)",
    "DAGSTER_LOGS_BUCKET": "bucket that the output of runs goes to; without it, it stays in DAGSTER_HOME",
    "DAGSTER_ECS_CLUSTER": "cluster in ECS that runs are started in; without it, they are processes of this machine",
    "DAGSTER_ECS_TASK_DEFINITION": "family of the task definition of a run, with a container `run`",
    "DAGSTER_ECS_SUBNETS": "subnets of a run's task, with commas between them",
    "DAGSTER_ECS_SECURITY_GROUPS": "security groups of a run's task, with commas between them",
    "DAGSTER_ECS_PUBLIC_IP": "whether a run's task gets a public address: ENABLED, or DISABLED (the default)",
}
"""The variables that are read here, with their meaning."""


def instance_file(env: Mapping[str, str]) -> str:
    """The text of `dagster.yaml` for an environment. Raises SettingsError, with the variable that is missing."""
    import yaml

    text = SOURCE.read_text()
    parts = _parts({name: value.strip() for name, value in env.items() if name in VARIABLES})
    if not parts:
        return text
    settings: dict[str, Any] = yaml.safe_load(text)
    return str(yaml.safe_dump({**settings, **parts}, sort_keys=False))


def _parts(env: Mapping[str, str]) -> dict[str, Any]:
    """What takes the place of the laptop's."""
    parts: dict[str, Any] = {}
    if env.get("DAGSTER_POSTGRES_HOST"):
        for name in ("DAGSTER_POSTGRES_USER", "DAGSTER_POSTGRES_PASSWORD"):
            _require(env, name, "DAGSTER_POSTGRES_HOST")
        parts["storage"] = {"postgres": {"postgres_db": {
            "hostname": {"env": "DAGSTER_POSTGRES_HOST"},
            "username": {"env": "DAGSTER_POSTGRES_USER"},
            "password": {"env": "DAGSTER_POSTGRES_PASSWORD"},
            "db_name": env.get("DAGSTER_POSTGRES_DB") or "dagster",
            "port": _port(env.get("DAGSTER_POSTGRES_PORT") or "5432"),
            # SQLAlchemy 2.1 takes psycopg 3 for a bare `postgresql`, but Dagster brings psycopg2.
            "scheme": "postgresql+psycopg2",
            "params": {"sslmode": env.get("DAGSTER_POSTGRES_SSLMODE") or "require"},
        }}}  # fmt: skip
    if env.get("DAGSTER_LOGS_BUCKET"):
        parts["compute_logs"] = {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": "S3ComputeLogManager",
            # What a run has printed is in the bucket while it runs, too.
            "config": {
                "bucket": {"env": "DAGSTER_LOGS_BUCKET"}, "prefix": "logs", "skip_empty_files": True,
                "upload_interval": 30,
            },
        }  # fmt: skip
    if env.get("DAGSTER_ECS_CLUSTER"):
        parts["run_launcher"] = _ecs(env)
    return parts


def _ecs(env: Mapping[str, str]) -> dict[str, Any]:
    """A launcher that starts a task definition which is there. So no role needs to register or pass others."""
    network = {
        "subnets": _require(env, "DAGSTER_ECS_SUBNETS", "DAGSTER_ECS_CLUSTER").split(","),
        "securityGroups": _require(env, "DAGSTER_ECS_SECURITY_GROUPS", "DAGSTER_ECS_CLUSTER").split(","),
        "assignPublicIp": env.get("DAGSTER_ECS_PUBLIC_IP") or "DISABLED",
    }
    _require(env, "DAGSTER_ECS_TASK_DEFINITION", "DAGSTER_ECS_CLUSTER")
    return {
        "module": "dagster_aws.ecs",
        "class": "EcsRunLauncher",
        "config": {
            "task_definition": {"env": "DAGSTER_ECS_TASK_DEFINITION"},
            "container_name": "run",
            "use_current_ecs_task_config": False,
            "secrets_tag": None,  # the task definition names the secrets; none is looked for in the account
            "run_task_kwargs": {
                "cluster": {"env": "DAGSTER_ECS_CLUSTER"},
                "launchType": "FARGATE",
                "networkConfiguration": {"awsvpcConfiguration": network},
            },
        },
    }


def _require(env: Mapping[str, str], name: str, because: str) -> str:
    if not env.get(name):
        raise SettingsError(f"{name} is not set, but {because} is; it takes the {VARIABLES[name]}")
    return env[name]


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise SettingsError(f"DAGSTER_POSTGRES_PORT is {text!r}; it takes the number of a port")
    return int(text)
