"""What the pipeline needs is listed in the UI, and is read when a run asks for it."""

from __future__ import annotations

import dagster as dg
import pytest

from stock_pipeline.definitions import defs
from stock_pipeline.errors import SettingsError
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.settings import documented, variable

NEEDED = ("staging_bucket", "lake_bucket", "stream_queue_url", "stream_dlq_url", "lineage_queue_url")
OF_FIELD = {
    "staging_bucket": "staging",
    "lake_bucket": "lake",
    "stream_queue_url": "tick_arrivals",
    "stream_dlq_url": "dead_letters",
    "lineage_queue_url": "receipts",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in documented():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def used_in_a_run(buckets: Buckets, name: str) -> str:
    """The bucket or queue that a run finds in the resource, or why it finds none."""

    @dg.op
    def use(buckets: Buckets) -> str:
        try:
            found = getattr(buckets, OF_FIELD[name])
        except SettingsError as error:
            return str(error)
        return str(found.bucket if name.endswith("bucket") else found.url)

    @dg.job(resource_defs={"buckets": buckets})
    def one() -> None:
        use()

    return str(one.execute_in_process().output_for_node("use"))


def test_the_ui_lists_each_variable_with_its_meaning() -> None:
    resource = defs.get_repository_def().get_top_level_resources()["buckets"]
    fields = resource.config_schema.config_type.fields
    assert list(fields) == list(NEEDED)
    for name, field in fields.items():
        assert (field.default_value, field.description) == ({"env": variable(name)}, documented()[variable(name)])


@pytest.mark.parametrize("name", NEEDED)
def test_a_variable_is_read_by_the_run_and_its_absence_is_told_with_the_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = used_in_a_run(Buckets(), name)
    assert said.startswith(f"{variable(name)} is not set (")
    assert said.endswith("set it to the name of your stack's resource")
    for value in ("https://sqs/1/first", "https://sqs/1/second"):
        monkeypatch.setenv(variable(name), value)
        assert used_in_a_run(Buckets(), name) == value


def test_the_definitions_can_name_another_variable_or_give_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Buckets(lake_bucket=dg.EnvVar("OUR_LAKE"), staging_bucket="given")
    assert used_in_a_run(elsewhere, "staging_bucket") == "given"
    assert used_in_a_run(elsewhere, "lake_bucket").startswith("OUR_LAKE is not set (bucket of the clean")
    monkeypatch.setenv("OUR_LAKE", "ours")
    assert used_in_a_run(elsewhere, "lake_bucket") == "ours"
    assert (elsewhere.settings.staging_bucket, elsewhere.settings.lake_bucket) == ("given", "ours")
