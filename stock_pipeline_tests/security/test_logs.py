"""Logs hold no contents of rows: a canary in every field of poisoned files is in the tables, and in no log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import without_contents
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline_tests.support.commands import Run, aws, lake, no_aws, run, staging
from stock_pipeline_tests.support.lambdas import LAKE, STAGING, cold_start, context, s3
from stock_pipeline_tests.support.pipeline import Pipeline, pipeline
from stock_pipeline_tests.support.s3_notifications import event

__all__ = ["aws", "cold_start", "context", "lake", "no_aws", "pipeline", "run", "s3", "staging"]

CANARY = "CANARY7F3A"
HEADER = "symbol,date,open,high,low,close,volume,note\n"
GOOD = ["AAPL", "2024-01-02", "10", "11", "9", "10", "100", "x"]

ROWS = [
    *([*GOOD[:at], CANARY + bad, *GOOD[at + 1 :]] for at in range(7) for bad in ("", " <!>")),
    [*GOOD, CANARY],
    [CANARY],
    [f'a"{CANARY}', *GOOD[1:]],
    [CANARY, "2024-01-03", *GOOD[2:]],
    [CANARY, "2024-01-03", "10", "11", "9", "10.5", "100", "contested"],
    [CANARY, "2024-01-04", "10", "11", "9", "10.5", "100", "a conflict"],
]
EARLIER = f"{HEADER}{CANARY},2024-01-04,10,11,9,10,100,x\n".encode()
DAILY = (HEADER + "".join(",".join(row) + "\n" for row in ROWS)).encode()

TICK = {"event_id": "e", "symbol": "AAPL", "price": 10, "size": 1, "produced_at": "2024-06-03 11:00:00"}
TICKS = b"".join(
    line.encode() + b"\n"
    for line in [
        *(json.dumps(TICK | {key: bad}) for key in TICK for bad in (f"{CANARY} <!>", [CANARY], {CANARY: 1})),
        *(json.dumps(TICK | {"event_id": CANARY, "symbol": CANARY, "price": price}) for price in (1, 2, -1)),
        f'{{"symbol": "{CANARY}", "price": ',
        f'["{CANARY}"]',
        f'{CANARY}{{"a"}}{{"b": {CANARY}}}',
        json.dumps({"type": CANARY, "note": CANARY}),
    ]
)

REFUSED = {
    "wide.csv": f"date,{CANARY},B\n2024-01-02,1,2\n",
    "header.csv": f"{CANARY},x\n{CANARY},1\n",
    "one.csv": f"{CANARY}\n",
    "headerless.csv": f"{CANARY},2024-01-02,10\n",
    "quote.csv": f'symbol,"{CANARY},date\nx,1,2\n',
    "twice.csv": "symbol,date,close,close\n" + f"{CANARY},2024-01-02,1,2\n",
    "intraday.csv": "symbol,date,close\n"
    + "".join(f"{CANARY},2024-01-0{day} 09:{minute}:00,1\n" for day in (2, 3, 4) for minute in range(30, 40)),
    "orders.csv": f"symbol,date,close\n{CANARY},1/13/2024,1\n{CANARY},13/1/2024,1\n",
    "period.csv": f"ticker,per,date,close\nA,{CANARY},2024-01-02,1\n",
    "company.csv": f"company,date,close\n{CANARY} Inc.,2024-01-02,1\n",
    "levels.csv": f"Price,Close,Close\nTicker,{CANARY},MSFT\nDate,,\n2024-01-02,1,2\n",
    "symbol=MSFT/x.csv": f"symbol,date,close\n{CANARY},2024-01-02,1\n",
    "apostrophe.csv": f'symbol,date,close\n{CANARY}\'s "it"{CANARY},2024-01-02 09:30,1\n',
}


def recorded(lake: ObjectStore, table: Table) -> list[dict[str, Any]]:
    return list(read_rejects(lake, table).to_pylist())


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says, at every level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root, level = logging.getLogger(), logging.getLogger().level
    quiet = {name: logging.getLogger(name).level for name in ("boto3", "botocore", "urllib3", "moto", "werkzeug")}
    for name in quiet:  # these tell of requests and their bodies, at a level that nobody sets in production
        logging.getLogger(name).setLevel(logging.INFO)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for name, before in quiet.items():
            logging.getLogger(name).setLevel(before)


@pytest.mark.parametrize(
    ("function", "prefix", "body", "table"),
    [
        ("process_batch_stock_data", "daily_prices/uploads/", DAILY, PRICE_BY_DATE),
        ("process_stock_stream_data", "stock_stream/2024/06/03/11/", TICKS, STREAM_PRICES_HISTORY),
    ],
)
def test_a_function_logs_counts_and_reasons_but_nothing_of_a_row(
    function: str,
    prefix: str,
    body: bytes,
    table: Table,
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    context: LambdaContext,
    capsys: pytest.CaptureFixture[str],
) -> None:
    s3.put_object(Bucket=STAGING, Key=prefix + "poisoned", Body=body)
    s3.put_object(Bucket=STAGING, Key=prefix + "earlier", Body=EARLIER if table is PRICE_BY_DATE else b"")
    with everything_logged() as logged:
        handler = cold_start(function)
        handler.lambda_handler(event(prefix + "earlier", bucket=STAGING), context)
        (receipt,) = handler.lambda_handler(event(prefix + "poisoned", bucket=STAGING), context)["receipts"]
    captured = capsys.readouterr()
    said = logged.getvalue() + captured.out + captured.err
    assert prefix + "poisoned" in said
    assert CANARY not in said
    rejected = recorded(S3Store(LAKE, s3), table)
    contested = "ambiguous" if table is PRICE_BY_DATE else "conflict"
    assert {row["reason"] for row in rejected} >= {contested, *receipt["rejected"]}
    assert len(receipt["rejected"]) >= 5
    assert sum(CANARY in (row["raw"] or "") for row in rejected) > 10


def test_a_function_that_refuses_files_logs_why_without_what_is_in_them(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["daily_prices/uploads/" + name for name in REFUSED]
    for key, text in zip(keys, REFUSED.values(), strict=True):
        s3.put_object(Bucket=STAGING, Key=key, Body=text.encode())
    with everything_logged() as logged:
        answer = cold_start("process_batch_stock_data").lambda_handler(event(*keys, bucket=STAGING), context)
    captured = capsys.readouterr()
    said = logged.getvalue() + captured.out + captured.err
    refusals = [receipt["refused"] for receipt in answer["receipts"] if receipt["refused"]]
    assert len(refusals) >= len(REFUSED) - 1
    assert sum(CANARY in reason for reason in refusals) >= 8  # the record of a refusal shows what was wrong
    assert said.count("was refused") + said.count('"message":"refused"') >= len(refusals)
    assert CANARY not in said


def test_a_run_of_dagster_logs_nothing_of_a_row(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    prefix = "daily_prices/uploads/"
    pipeline.staging.put(prefix + "poisoned.csv", DAILY)
    for name, text in REFUSED.items():
        pipeline.staging.put(prefix + name, text.encode())
    keys = [prefix + name for name in ("poisoned.csv", *REFUSED)]
    with everything_logged() as logged:
        result = pipeline.run("ingest_daily_prices", "2024", config={"sources": keys})
    captured = capfd.readouterr()
    run_log = "\n".join(entry.user_message for entry in pipeline.instance.all_logs(result.run_id))
    said = logged.getvalue() + captured.out + captured.err + run_log
    assert "was refused" in said
    assert "poisoned.csv: not stored" in said
    assert CANARY not in said
    assert any(CANARY in str(row["raw"]) for row in recorded(pipeline.lake, PRICE_BY_DATE))


def test_the_command_line_says_nothing_of_a_row_until_it_is_asked(run: Run, aws: None, tmp_path: Path) -> None:
    files = []
    for name, body in (("poisoned.csv", DAILY), ("poisoned.jsonl", TICKS)):
        files.append(tmp_path / name)
        files[-1].write_bytes(body)
    with everything_logged() as logged:
        done = run("ingest", *files)
        replayed = run("rejects", "replay", "--all")
    assert done.exit_code == 0, done.stderr
    said = logged.getvalue() + done.stdout + done.stderr + replayed.stdout + replayed.stderr
    assert "rows not in the table" in said
    assert CANARY not in said
    assert CANARY in run("rejects", "list").stdout


@pytest.mark.parametrize(
    ("message", "logged"),
    [
        ("column 'close' holds 'x'", "column '…' holds '…'"),
        ("""such as "it's" and 'a "b"'""", "such as '…' and '…'"),
        (r"such as 'it\'s \"x\"' here", "such as '…' here"),
        ("nothing is quoted", "nothing is quoted"),
    ],
)
def test_what_a_message_quotes_is_left_out(message: str, logged: str) -> None:
    assert without_contents(message) == logged
