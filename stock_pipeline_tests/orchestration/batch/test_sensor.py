"""The sensor over daily_prices/: no arrival is missed, a group is one run, and failed runs come back."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime

import boto3
import dagster as dg
import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.definitions import defs
from stock_pipeline.errors import StoreUnavailable
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.orchestration.batch import run_requests, sensor
from stock_pipeline.orchestration.batch.run_requests import ATTEMPTS
from stock_pipeline.orchestration.batch.sensor import daily_price_arrivals
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.pipeline import RANGE, Pipeline

HEADER = "Symbol,Date,Open,High,Low,Close,Volume\n"


class Daemon:
    """Ticks the sensor as the daemon does: what a tick returns as its cursor, the next one is given."""

    def __init__(self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pipeline = pipeline
        self.cursor: str | None = None
        self.now = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
        self.skipped = ""
        monkeypatch.setattr(sensor.time, "time", lambda: self.now)

    def tick(self, seconds: float = 10) -> list[dg.RunRequest]:
        self.now += seconds
        context = dg.build_sensor_context(
            instance=self.pipeline.instance, cursor=self.cursor, resources={"buckets": Buckets()}
        )
        result = daily_price_arrivals(context)
        if isinstance(result, dg.SkipReason):
            self.skipped = str(result.skip_message)
            return []
        self.cursor = result.cursor
        self.skipped = "" if result.run_requests else str(result.skip_reason.skip_message)
        return list(result.run_requests)

    def run_all(self, requests: list[dg.RunRequest], *, succeeds: bool = True) -> None:
        for request in requests:
            self.pipeline.request(request, succeeds=succeeds)


@pytest.fixture
def daemon(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    return Daemon(pipeline, monkeypatch)


def drop(pipeline: Pipeline, key: str, *days: str, symbol: str = "AAPL", close: float = 10) -> str:
    rows = [f"{symbol},{day},10,12,9,{close},100\n" for day in days]
    key = f"daily_prices/{key}"
    pipeline.staging.put(key, (HEADER + "".join(rows)).encode())
    return key


def sources(request: dg.RunRequest) -> list[str]:
    config = request.run_config
    ops = config.ops if isinstance(config, dg.RunConfig) else config["ops"]
    op = ops["price_by_date"]
    return list(op.sources if hasattr(op, "sources") else op["config"]["sources"])


def years(request: dg.RunRequest) -> str:
    start = request.tags.get(f"{RANGE}_start")
    return f"{start}-{request.tags[f'{RANGE}_end']}" if start else str(request.partition_key)


def asked(requests: list[dg.RunRequest]) -> dict[str, list[str]]:
    return {years(request): sorted(sources(request)) for request in requests}


def test_a_dropped_file_becomes_rows(daemon: Daemon, pipeline: Pipeline) -> None:
    key = drop(pipeline, "uploads/AAPL.csv", "2024-01-02", "2024-01-03")
    requests = daemon.tick()
    assert asked(requests) == {"2024": [key]}
    assert requests[0].tags["stock_pipeline/prefix"] == f"s3://staging/{key}"
    daemon.run_all(requests)
    rows = read_partition(pipeline.lake, PRICE_BY_DATE, "year=2024")
    assert rows is not None
    assert rows.num_rows == 2
    assert daemon.tick() == []
    assert "nothing new among 1 objects" in daemon.skipped


def test_nothing_is_asked_for_when_nothing_is_there(daemon: Daemon) -> None:
    assert daemon.tick() == []
    assert "nothing new among 0 objects under s3://staging/daily_prices/" in daemon.skipped


def test_a_backfill_of_three_years_is_three_runs(daemon: Daemon, pipeline: Pipeline) -> None:
    days = [f"{year}-{month:02}-03" for year in (2022, 2023, 2024) for month in range(1, 13)]
    for day in days:
        drop(pipeline, f"date={day}/prices.csv", day)
    requests = daemon.tick()
    assert {name: len(keys) for name, keys in asked(requests).items()} == {"2022": 12, "2023": 12, "2024": 12}
    assert requests[0].tags["stock_pipeline/prefix"] == "s3://staging/daily_prices/date=2022-"


def test_an_upload_of_many_years_is_one_run_with_whatever_else_came_for_them(
    daemon: Daemon, pipeline: Pipeline
) -> None:
    days = [f"{year}-03-{day:02}" for year in range(2010, 2025) for day in (1, 2, 3)]
    long = drop(pipeline, "uploads/long.csv", *days)
    inside = drop(pipeline, "date=2020-01-02/prices.csv", "2020-01-02")
    beside = drop(pipeline, "date=2025-01-02/prices.csv", "2025-01-02")
    requests = daemon.tick()
    assert asked(requests) == {"2010-2024": sorted([long, inside]), "2025": [beside]}
    daemon.run_all(requests)
    assert partitions(pipeline.lake, PRICE_BY_DATE) == [year_partition(year) for year in range(2010, 2026)]


def test_a_stray_year_does_not_stretch_the_range_but_is_stored(daemon: Daemon, pipeline: Pipeline) -> None:
    drop(pipeline, "uploads/typo.csv", "1998-03-02", "2023-03-01", "2024-03-01")
    requests = daemon.tick()
    assert list(asked(requests)) == ["2023-2024"]
    daemon.run_all(requests)
    assert partitions(pipeline.lake, PRICE_BY_DATE) == ["year=1998", "year=2023", "year=2024"]


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("uploads/letter.csv", b"Dear customer"),
        ("uploads/empty.csv", b""),
        ("uploads/photo.csv", b"\x89PNG\r\n\x1a\n\0\0"),
        ("uploads/bomb.csv.gz", gzip.compress(b"0" * (run_requests.PEEK_BYTES * 5))),
        ("uploads/ancient.csv", f"{HEADER}AAPL,1899-12-29,1,1,1,1,1\n".encode()),
        ("uploads/before_the_partitions.csv", f"{HEADER}AAPL,1931-01-05,1,1,1,1,1\n".encode()),
        ("uploads/future.csv", f"{HEADER}AAPL,2999-01-05,1,1,1,1,1\n".encode()),
        ("date=1850-01-02/prices.csv", f"{HEADER}AAPL,2024-01-05,1,1,1,1,1\n".encode()),
        ("date=9999-99-99/prices.csv", f"{HEADER}AAPL,2024-01-05,1,1,1,1,1\n".encode()),
        ("notes.txt", b"hello"),
    ],
)
def test_what_tells_no_year_goes_to_the_current_one_and_gets_a_receipt(
    daemon: Daemon, pipeline: Pipeline, key: str, content: bytes
) -> None:
    pipeline.staging.put(f"daily_prices/{key}", content)
    requests = daemon.tick()
    assert list(asked(requests)) == ["2026"]
    daemon.run_all(requests)
    assert daemon.tick() == []


def test_folder_markers_are_no_arrivals(daemon: Daemon, pipeline: Pipeline) -> None:
    pipeline.staging.put("daily_prices/uploads/", b"")
    assert daemon.tick() == []


def test_a_parser_that_breaks_does_not_stop_the_sensor(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run_requests, "parse_daily_prices", broken)
    drop(pipeline, "uploads/odd.csv", "2024-01-02")
    assert list(asked(daemon.tick())) == ["2026"]


def test_a_store_that_does_not_answer_leaves_the_arrivals_for_the_next_tick(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "get", _unavailable)
        with pytest.raises(StoreUnavailable):
            daemon.tick()
    assert asked(daemon.tick()) == {"2024": [key]}


def _unavailable(*args: object, **kwargs: object) -> None:
    raise StoreUnavailable("k", "S3 answered 503")


def test_arrivals_within_one_second_are_all_seen(daemon: Daemon, pipeline: Pipeline) -> None:
    seen: list[str] = []
    dropped = []
    for n in range(30):
        dropped.append(drop(pipeline, f"uploads/{n % 7}/{n}.csv", "2024-01-02", symbol=f"A{n}"))
        if n % 3 == 0:
            requests = daemon.tick(0)
            seen += [key for request in requests for key in sources(request)]
            daemon.run_all(requests)
    seen += [key for request in daemon.tick() for key in sources(request)]
    assert sorted(seen) == sorted(dropped)


def test_a_rewritten_key_is_handed_over_again(daemon: Daemon, pipeline: Pipeline) -> None:
    key = drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    other = drop(pipeline, "uploads/MSFT.csv", "2024-01-02", symbol="MSFT")
    daemon.run_all(daemon.tick())
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02", "2024-01-03")
    requests = daemon.tick()
    assert asked(requests) == {"2024": [key]}
    assert other not in sources(requests[0])
    daemon.run_all(requests)
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02", "2024-01-03")
    assert daemon.tick() == [], "the same content again is nothing new"


def test_a_key_rewritten_while_its_run_is_under_way_is_not_missed(daemon: Daemon, pipeline: Pipeline) -> None:
    key = drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    first = daemon.tick()
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02", "2024-01-03")
    second = daemon.tick()
    assert asked(second) == {"2024": [key]}
    assert first[0].run_key != second[0].run_key


def test_deleting_what_was_handed_over_hides_no_arrival(daemon: Daemon, pipeline: Pipeline) -> None:
    for n in range(3):
        drop(pipeline, f"uploads/{n}.csv", "2024-01-02", symbol=f"A{n}")
    daemon.run_all(daemon.tick())
    for n in range(3):
        pipeline.staging._client.delete_object(Bucket="staging", Key=f"daily_prices/uploads/{n}.csv")
    key = drop(pipeline, "uploads/0a.csv", "2024-01-02", symbol="LATER")
    assert asked(daemon.tick()) == {"2024": [key]}


def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the ingest of runs fail as a bug would; returns what mends it."""
    from stock_pipeline.orchestration.batch import assets

    patch = pytest.MonkeyPatch()

    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    patch.setattr(assets, "ingest_daily_prices", broken)
    return patch.undo


def test_the_arrivals_of_a_failed_run_come_back(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = drop(pipeline, "uploads/AAPL.csv", "2023-01-03", "2024-01-02")
    mend = fail(monkeypatch)
    first = daemon.tick()
    daemon.run_all(first, succeeds=False)
    assert daemon.tick() == [], "not at once"
    again = daemon.tick(60)
    assert asked(again) == asked(first) == {"2023-2024": [key]}
    assert again[0].run_key != first[0].run_key
    assert again[0].tags["stock_pipeline/attempt"] == "2"
    mend()
    daemon.run_all(again)
    assert daemon.tick(3_600) == []
    assert partitions(pipeline.lake, PRICE_BY_DATE) == ["year=2023", "year=2024"]


def test_arrivals_whose_runs_fail_for_good_are_given_up(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    mend = fail(monkeypatch)
    runs = 0
    for _ in range(4 * ATTEMPTS):
        requests = daemon.tick(600)
        runs += len(requests)
        daemon.run_all(requests, succeeds=False)
    mend()
    assert runs == ATTEMPTS
    key = drop(pipeline, "uploads/MSFT.csv", "2024-01-02", symbol="MSFT")
    assert asked(daemon.tick()) == {"2024": [key]}, "and they hold up nothing else"


def test_a_run_that_was_asked_for_but_never_started_is_asked_for_again(daemon: Daemon, pipeline: Pipeline) -> None:
    """The daemon drops the rest of a tick's requests when somebody stops the sensor in the middle of it."""
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    first = daemon.tick()
    assert asked(daemon.tick()) == asked(first)


def test_a_run_that_is_under_way_is_waited_for(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_requests, "REQUESTED_AT_ONCE", 1)
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    (request,) = daemon.tick()
    run = pipeline.instance.create_run_for_job(
        _job(), tags={"dagster/run_key": str(request.run_key)}, status=dg.DagsterRunStatus.STARTED
    )
    assert daemon.tick(3_600) == []
    assert "1 of them are in runs that are not done" in daemon.skipped
    drop(pipeline, "uploads/MSFT.csv", "2024-01-02", symbol="MSFT")
    assert daemon.tick() == [], "there is room for no more"
    pipeline.instance.report_run_failed(run)
    assert daemon.tick() == []
    assert asked(daemon.tick(60)) == {"2024": ["daily_prices/uploads/AAPL.csv"]}


def _job() -> dg.JobDefinition:
    from stock_pipeline.definitions import defs

    return defs.resolve_job_def("ingest_daily_prices")


def test_what_a_failed_run_held_and_is_deleted_since_is_let_go(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    mend = fail(monkeypatch)
    daemon.run_all(daemon.tick(), succeeds=False)
    mend()
    pipeline.staging._client.delete_object(Bucket="staging", Key=key)
    daemon.tick()
    assert daemon.tick(3_600) == []
    assert "in runs" not in daemon.skipped


def test_a_flood_is_handed_over_in_portions(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_requests, "REQUESTED_AT_ONCE", 4)
    dropped = [drop(pipeline, f"uploads/{n}.csv", f"{2015 + n}-01-05", symbol=f"A{n}") for n in range(10)]
    seen: list[str] = []
    for _ in range(3):
        requests = daemon.tick()
        assert sum(len(sources(request)) for request in requests) <= 4
        seen += [key for request in requests for key in sources(request)]
        daemon.run_all(requests)
    assert sorted(seen) == sorted(dropped)


def test_a_reset_cursor_hands_everything_over_again_under_new_run_keys(daemon: Daemon, pipeline: Pipeline) -> None:
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    first = daemon.tick()
    daemon.run_all(first)
    daemon.cursor = None
    again = daemon.tick()
    assert asked(again) == asked(first)
    assert again[0].run_key != first[0].run_key


def test_in_lambda_mode_the_sensor_leaves_the_arrivals_alone(
    daemon: Daemon, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "lambda")
    assert daemon.tick() == []
    assert "STOCK_PIPELINE_PROCESSOR is lambda" in daemon.skipped
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "dagster")
    assert len(daemon.tick()) == 1


def test_the_raw_prices_of_a_materialized_session_are_picked_up(daemon: Daemon, pipeline: Pipeline) -> None:
    pipeline.run("simulate_daily_prices", "2023-12-28", "2024-01-03")
    requests = daemon.tick()
    assert {name: len(keys) for name, keys in asked(requests).items()} == {"2023": 2, "2024": 2}
    daemon.run_all(requests)
    pipeline.run("simulate_daily_prices", "2023-12-28", "2024-01-03")
    assert daemon.tick() == []
    assert date(2024, 1, 3) in read_partition(pipeline.lake, PRICE_BY_DATE, "year=2024")["date"].to_pylist()  # type: ignore[index]


def test_a_name_that_was_used_again_while_the_sensor_was_off_is_ingested_in_each_version(
    daemon: Daemon, pipeline: Pipeline
) -> None:
    boto3.client("s3").put_bucket_versioning(Bucket="staging", VersioningConfiguration={"Status": "Enabled"})
    for day in ("2024-01-02", "2024-01-03", "2024-01-04"):
        key = drop(pipeline, "uploads/latest.csv", day)
    drop(pipeline, "uploads/latest.csv", "2024-01-04")  # with the same content once more
    (request,) = daemon.tick()
    assert sources(request) == [key] * 3
    daemon.run_all([request])
    rows = read_partition(pipeline.lake, PRICE_BY_DATE, "year=2024")
    assert rows is not None
    assert [str(day) for day in rows["date"].to_pylist()] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert daemon.tick() == []


def test_what_a_person_cancelled_is_not_requested_again_and_is_told(
    daemon: Daemon, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(pipeline, "uploads/AAPL.csv", "2024-01-02")
    (request,) = daemon.tick()
    run = pipeline.instance.create_run_for_job(
        defs.resolve_job_def("ingest_daily_prices"), tags=request.tags | {"dagster/run_key": str(request.run_key)}
    )
    pipeline.instance.report_run_canceling(run)
    pipeline.instance.report_run_canceled(run)
    for _ in range(10):
        assert daemon.tick(3600) == []
    assert "1 of its objects are still in staging" in capsys.readouterr().err
    later = drop(pipeline, "uploads/IBM.csv", "2024-01-02")
    assert asked(daemon.tick()) == {"2024": [later]}


def test_arrivals_go_first_and_uploads_one_run_at_a_time(daemon: Daemon, pipeline: Pipeline) -> None:
    drop(pipeline, "uploads/AAPL.csv", "2023-01-03")
    drop(pipeline, "date=2024-01-02/prices.csv", "2024-01-02")
    tags = {years(request): request.tags for request in daemon.tick()}
    assert {year: found["dagster/priority"] for year, found in tags.items()} == {"2023": "10", "2024": "10"}
    assert {year: "stock_pipeline/uploads" in found for year, found in tags.items()} == {"2023": True, "2024": False}
    for job in ("check_prices", "check_stream"):
        assert int(defs.resolve_job_def(job).tags["dagster/priority"]) < 0
