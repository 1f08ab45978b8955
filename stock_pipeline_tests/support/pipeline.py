"""Two buckets in an emulated S3, a Dagster instance in memory, and the project's own definitions to run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import dagster as dg
import pytest
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.definitions import defs
from stock_pipeline.orchestration.resources import Buckets

RANGE = "dagster/asset_partition_range"


@dataclass
class Pipeline:
    """What a test drives: the buckets, and runs of the project's jobs."""

    staging: S3Store
    lake: S3Store
    instance: dg.DagsterInstance

    def run(
        self,
        job: str,
        first: str,
        last: str | None = None,
        config: dict[str, object] | None = None,
        *,
        tags: dict[str, str] | None = None,
        succeeds: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Run a job for one partition, or for a range of them in a single run."""
        ops = {"ops": {"price_by_date": {"config": config}}} if config else None
        span = {f"{RANGE}_start": first, f"{RANGE}_end": last} if last else {}
        result = defs.resolve_job_def(job).execute_in_process(
            run_config=ops,
            instance=self.instance,
            tags={**span, **(tags or {})},
            partition_key=None if last else first,
            raise_on_error=succeeds,
        )
        assert result.success == succeeds
        return result

    def request(self, request: dg.RunRequest, *, succeeds: bool = True) -> dg.ExecuteInProcessResult:
        """Run what a sensor or a schedule asked for, as the daemon would."""
        span = {name: request.tags.get(f"{RANGE}_{name}") for name in ("start", "end")}
        result = defs.resolve_job_def("ingest_daily_prices").execute_in_process(
            run_config=request.run_config,
            instance=self.instance,
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            partition_key=None if span["start"] else request.partition_key,
            raise_on_error=succeeds,
        )
        assert result.success == succeeds
        return result


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "STOCK_PIPELINE_PROCESSOR", "STOCK_PIPELINE_SYMBOLS"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        "AWS_DEFAULT_REGION": "us-east-1",
        "STOCK_PIPELINE_STAGING_BUCKET": "staging",
        "STOCK_PIPELINE_LAKE_BUCKET": "lake",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws(), dg.DagsterInstance.ephemeral() as instance:
        for bucket in ("staging", "lake"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield Pipeline(S3Store("staging"), S3Store("lake"), instance)


@pytest.fixture
def buckets() -> Buckets:
    return Buckets()
