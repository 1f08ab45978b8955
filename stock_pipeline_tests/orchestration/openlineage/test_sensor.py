"""A catalog on loopback is told what Dagster has done: each thing once, in order, whoever is away or dies."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test

from stock_pipeline.definitions import defs
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.errors import LineageNotSent
from stock_pipeline.orchestration.openlineage import history, sensor
from stock_pipeline.orchestration.openlineage.catalog import VARIABLES
from stock_pipeline_tests.support.postgres import postgres

PRICES = dg.AssetKey("price_by_date")
COLUMNS = dg.TableSchema([dg.TableColumn("close", "double", "last price"), dg.TableColumn("symbol", "string")])
LINEAGE = dg.TableColumnLineage({"close": [dg.TableColumnDep(dg.AssetKey(["raw", "bars"]), "price")]})


@dataclass
class Catalog:
    """What takes events. `status` answers one; `refuses` are names of jobs whose events it always refuses."""

    url: str = ""
    status: int = 201
    refuses: dict[str, int] = field(default_factory=dict)
    heard: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> int:
        status = self.refuses.get(event["job"]["name"], self.status)
        if status < 300:
            self.heard.append(event)
        return status

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event["eventType"], event["job"]["name"]) for event in self.heard]


@contextmanager
def listening(catalog: Catalog) -> Iterator[Catalog]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            catalog.asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(catalog.take(event))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        catalog.url = f"http://127.0.0.1:{server.server_port}"
        yield catalog
        server.shutdown()


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(history, "SETTLED", -1.0)  # a test need not wait
    with listening(Catalog()) as catalog:
        monkeypatch.setenv("OPENLINEAGE_URL", catalog.url)
        yield catalog


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request: pytest.FixtureRequest) -> Iterator[dg.DagsterInstance]:
    with ExitStack() as opened:
        overrides: dict[str, Any] = {}
        if request.param == "postgres":
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="stock-pipeline-")))
            overrides["storage"] = opened.enter_context(postgres(folder))
        yield opened.enter_context(instance_for_test(overrides=overrides))


@dg.asset(key=["raw", "bars"])
def raw() -> None: ...


@dg.asset(
    key=PRICES,
    deps=[raw],
    partitions_def=dg.TimeWindowPartitionsDefinition(start="2022", fmt="%Y", cron_schedule="0 0 1 1 *", end_offset=1),
    metadata={"dagster/column_schema": COLUMNS, "dagster/column_lineage": LINEAGE},
)
def prices() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"dagster/row_count": 7})


@dg.asset
def broken() -> None:
    raise ValueError("AAPL,1.23")


SMALL = dg.Definitions(assets=[raw, prices, broken], executor=dg.in_process_executor)


@dataclass
class Looks:
    """The sensor, as the daemon calls it: it keeps the cursor of the last look that did not fail."""

    instance: dg.DagsterInstance
    cursor: str | None = None
    definitions: dg.Definitions = field(default_factory=lambda: SMALL)

    def look(self) -> str:
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions)
        result = sensor.openlineage.evaluate_tick(context)
        self.cursor = result.cursor
        return str(result.skip_message)


@pytest.fixture
def looks(instance: dg.DagsterInstance, catalog: Catalog) -> Looks:
    """The sensor has looked once."""
    looks = Looks(instance)
    assert looks.look() == "0 events sent"
    return looks


def by_a_function(instance: dg.DagsterInstance, asset: str = "price_by_date", **about: Any) -> None:
    """A materialization without a run of Dagster, as the sensor lambda_receipts reports it."""
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, **about))


def test_a_run_and_what_it_materialized_are_told_with_columns_their_origin_and_rows(
    looks: Looks, catalog: Catalog
) -> None:
    done = dg.materialize([prices], instance=looks.instance, partition_key="2024")
    assert looks.look() == "3 events sent"
    started, made, ended = catalog.heard
    assert catalog.told == [
        ("START", done.job_def.name),
        ("COMPLETE", "price_by_date"),
        ("COMPLETE", done.job_def.name),
    ]
    assert started["run"]["runId"] == ended["run"]["runId"] == done.run_id
    assert made["run"]["facets"]["parent"]["run"]["runId"] == done.run_id
    assert made["run"]["facets"]["nominalTime"]["nominalStartTime"].startswith("2024-01-01T00:00:00")
    assert made["run"]["facets"]["nominalTime"]["nominalEndTime"].startswith("2025-01-01T00:00:00")
    assert [each["name"] for each in made["inputs"]] == ["raw/bars"]
    (output,) = made["outputs"]
    assert (output["namespace"], output["name"]) == ("stock_pipeline", "price_by_date")
    fields = [(each["name"], each["type"], each.get("description")) for each in output["facets"]["schema"]["fields"]]
    assert fields == [("close", "double", "last price"), ("symbol", "string", None)]
    ((column, origin),) = output["facets"]["columnLineage"]["fields"].items()
    (source,) = origin["inputFields"]
    assert (column, source["name"], source["field"]) == ("close", "raw/bars", "price")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert {event["producer"] for event in catalog.heard} == {"urn:stock-pipeline:dagster"}
    assert looks.look() == "0 events sent"


def test_what_a_function_wrote_is_told_without_a_run_above_it(looks: Looks, catalog: Catalog) -> None:
    for partition in ("2023", "2024", None):
        by_a_function(looks.instance, partition=partition)
    assert looks.look() == "3 events sent"
    assert [("parent" in event["run"]["facets"]) for event in catalog.heard] == [False] * 3
    assert len({UUID(event["run"]["runId"]) for event in catalog.heard}) == 3


def test_a_run_that_fails_is_told_without_the_contents_of_the_error(looks: Looks, catalog: Catalog) -> None:
    dg.materialize([broken], instance=looks.instance, raise_on_error=False)
    looks.look()
    assert [state for state, _ in catalog.told] == ["START", "FAIL"]
    assert "AAPL" not in json.dumps(catalog.heard)


def test_what_was_before_the_first_look_is_not_told(instance: dg.DagsterInstance, catalog: Catalog) -> None:
    by_a_function(instance)
    looks = Looks(instance)
    looks.look()
    by_a_function(instance, partition="2024")
    assert looks.look() == "1 events sent"


def test_events_wait_while_the_catalog_is_away_and_come_in_their_order(looks: Looks, catalog: Catalog) -> None:
    catalog.status = 503
    for asset in "cab":
        by_a_function(looks.instance, asset)
    before = looks.cursor
    for _ in range(2):
        with pytest.raises(LineageNotSent, match="does not take events"):
            looks.look()
    assert looks.cursor == before
    catalog.status = 201
    assert looks.look() == "3 events sent"
    assert [name for _, name in catalog.told] == ["c", "a", "b"]


def test_what_was_sent_before_the_catalog_went_away_is_not_sent_again(looks: Looks, catalog: Catalog) -> None:
    by_a_function(looks.instance, "a")
    by_a_function(looks.instance, "b")
    catalog.refuses["b"] = 401
    assert looks.look().startswith("1 events sent; the others wait:")
    with pytest.raises(LineageNotSent, match="status 401"):
        looks.look()
    del catalog.refuses["b"]
    assert looks.look() == "1 events sent"
    assert [name for _, name in catalog.told] == ["a", "b"]


def test_one_that_the_catalog_always_refuses_does_not_hold_up_the_others(looks: Looks, catalog: Catalog) -> None:
    catalog.refuses["a"] = 422
    by_a_function(looks.instance, "a")
    by_a_function(looks.instance, "b")
    assert looks.look() == "1 events sent, 1 refused"
    assert [name for _, name in catalog.told] == ["b"]
    assert looks.look() == "0 events sent"


def test_the_same_look_again_sends_the_same_events(looks: Looks, catalog: Catalog) -> None:
    """The daemon died before it stored the cursor: a catalog sees that it has them."""
    before = looks.cursor
    dg.materialize([raw, prices], instance=looks.instance, partition_key="2024")
    looks.look()
    first, catalog.heard = catalog.heard, []
    looks.cursor = before
    looks.look()
    assert catalog.heard == first
    assert len(first) == 4


def test_more_than_a_look_sends_come_with_the_next(
    looks: Looks, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensor, "MOST", 3)
    for number in range(7):
        by_a_function(looks.instance, "ab"[number % 2], metadata={"number": number})
    assert [looks.look() for _ in range(4)] == [f"{number} events sent" for number in (3, 3, 1, 0)]
    assert [name for _, name in catalog.told] == ["a", "b", "a", "b", "a", "b", "a"]


def test_a_look_that_has_no_time_left_goes_on_with_the_next(
    looks: Looks, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_a_function(looks.instance)
    monkeypatch.setattr(sensor, "_SENDING", -1.0)
    assert looks.look() == "0 events sent"
    monkeypatch.setattr(sensor, "_SENDING", 30.0)
    assert looks.look() == "1 events sent"


def test_the_last_seconds_are_left_to_the_next_look(
    looks: Looks, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may write a record with a lower number and an earlier time meanwhile."""
    monkeypatch.setattr(history, "SETTLED", 60.0)
    by_a_function(looks.instance)
    assert looks.look() == "0 events sent"


def test_the_environment_says_where_and_as_whom(
    looks: Looks, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_ENDPOINT", "lineage/in")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-key")  # pragma: allowlist secret
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "trial")
    by_a_function(looks.instance)
    looks.look()
    assert catalog.asked == [("/lineage/in", "Bearer a-key")]
    assert {catalog.heard[0]["job"]["namespace"], catalog.heard[0]["outputs"][0]["namespace"]} == {"trial"}


def test_nothing_is_sent_without_an_address(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", " ")
    with instance_for_test() as instance:
        by_a_function(instance)
        assert Looks(instance).look() == "no catalog is told: OPENLINEAGE_URL is not set"
    assert catalog.heard == []


@pytest.mark.parametrize("url", ["catalog:5000", "not an address"])
def test_what_is_no_address_is_refused_with_the_variable(
    url: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", url)
    with instance_for_test() as instance, pytest.raises(LineageNotSent, match="OPENLINEAGE_URL is not an address"):
        Looks(instance).look()


def test_every_asset_of_the_pipeline_is_a_dataset_with_columns_and_what_is_upstream(catalog: Catalog) -> None:
    graph = defs.resolve_asset_graph()
    with instance_for_test() as instance:
        looks = Looks(instance, definitions=defs)
        looks.look()
        for key in graph.get_all_asset_keys():
            instance.report_runless_asset_event(dg.AssetMaterialization(key))
        looks.look()
    told = {event["job"]["name"]: event for event in catalog.heard}
    assert set(told) == {key.to_user_string() for key in graph.get_all_asset_keys()}
    for name, event in told.items():
        (output,) = event["outputs"]
        upstream = {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}
        assert {each["name"] for each in event["inputs"]} == upstream
        assert output["facets"]["schema"]["fields"], name
        lineage = output["facets"].get("columnLineage", {"fields": {}})["fields"]
        assert {source["name"] for origin in lineage.values() for source in origin["inputFields"]} <= upstream, name
        stated = getattr(graph.get(dg.AssetKey(name)).metadata.get("dagster/column_lineage"), "deps_by_column", {})
        assert set(lineage) == set(stated), name


def test_the_docs_name_every_variable() -> None:
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    section = page[page.index("### Lineage out") : page.index("## Deploying from GitHub")]
    assert [name for name in VARIABLES if f"`{name}`" not in section] == []
