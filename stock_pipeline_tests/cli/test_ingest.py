"""`stock-pipeline ingest` and `rejects`: files in, receipts out, and the way back for what was not stored."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli import rejects
from stock_pipeline.cli.ingest import show
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.receipts import Receipt
from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.layouts import lay_out

MakeFile = Callable[..., Path]
GOOD = ["2024-01-02,10,11,9,10.5,100", "2024-01-03,10.5,12,10,11,200"]
BAD = ["2024-01-04,10,11,9,-1,100", "2024-01-05,10,11,9,ten,100"]


def keys(store: S3Store) -> list[str]:
    return [info.key for info in store.list("")]


def bars(run: Run) -> list[dict[str, Any]]:
    found = run("sql", "SELECT symbol, date, close FROM price_by_date ORDER BY symbol, date", "--format", "json")
    assert found.exit_code == 0, found.stderr
    return list(json.loads(found.stdout))


def receipts(stdout: str) -> list[Receipt]:
    return [Receipt.from_json(line) for line in stdout.splitlines()]


class TestIngest:
    def test_a_file_ends_in_staging_under_its_name_and_in_the_table(
        self, run: Run, staging: S3Store, vendor_file: MakeFile
    ) -> None:
        done = run("ingest", vendor_file("AAPL.csv", GOOD))
        assert done.exit_code == 0
        assert keys(staging) == ["daily_prices/uploads/AAPL.csv"]
        assert [(b["symbol"], b["date"], b["close"]) for b in bars(run)] == [
            ("AAPL", "2024-01-02", 10.5),
            ("AAPL", "2024-01-03", 11.0),
        ]

    def test_its_counts_are_shown_and_where_to_see_the_rejected(
        self, run: Run, aws: None, vendor_file: MakeFile
    ) -> None:
        done = run("ingest", vendor_file("AAPL.csv", [*GOOD, *BAD]))
        assert done.exit_code == 0
        assert "AAPL.csv │    4 │   2 │" in done.stdout
        assert "1 bad_number, 1 non_positive_price" in done.stdout
        assert "stock-pipeline rejects list --source AAPL.csv" in done.stderr

    def test_again_adds_nothing(self, run: Run, aws: None, vendor_file: MakeFile) -> None:
        file = vendor_file("AAPL.csv", GOOD)
        run("ingest", file)
        (receipt,) = receipts(run("ingest", file, "--json").stdout)
        assert (receipt.inserted, receipt.duplicates) == (0, 2)
        assert len(bars(run)) == 2

    def test_again_with_the_same_content_is_no_second_arrival(
        self, run: Run, staging: S3Store, vendor_file: MakeFile
    ) -> None:
        file = vendor_file("AAPL.csv", GOOD)
        run("ingest", file, "--stage-only")
        (before,) = staging.list("")
        run("ingest", file, "--stage-only")
        (after,) = staging.list("")
        assert after.modified == before.modified

    def test_other_content_under_the_same_name_takes_its_place_and_says_so(
        self, run: Run, staging: S3Store, vendor_file: MakeFile
    ) -> None:
        run("ingest", vendor_file("AAPL.csv", GOOD[:1]))
        done = run("ingest", vendor_file("AAPL.csv", GOOD[1:]))
        assert "other content" in done.stderr
        assert staging.get("daily_prices/uploads/AAPL.csv").data.count(b"\n") == 2
        assert len(bars(run)) == 2

    def test_json_is_one_receipt_a_line_and_nothing_else_on_stdout(
        self, run: Run, aws: None, vendor_file: MakeFile
    ) -> None:
        done = run("ingest", vendor_file("AAPL.csv", [*GOOD, *BAD]), vendor_file("MSFT.csv", GOOD), "--json")
        first, second = receipts(done.stdout)
        assert (first.source, first.inserted, first.rejected) == (
            "daily_prices/uploads/AAPL.csv",
            2,
            {"bad_number": 1, "non_positive_price": 1},
        )
        assert (second.source, second.inserted) == ("daily_prices/uploads/MSFT.csv", 2)

    def test_a_symbol_given_lives_in_the_key_so_that_any_later_ingest_knows_it(
        self, run: Run, staging: S3Store, vendor_file: MakeFile
    ) -> None:
        assert run("ingest", vendor_file("download.csv", GOOD), "--symbol", "brk-b").exit_code == 0
        assert keys(staging) == ["daily_prices/uploads/symbol=BRK.B/download.csv"]
        assert {b["symbol"] for b in bars(run)} == {"BRK.B"}

    def test_hints_live_in_the_key_so_that_any_later_ingest_knows_them(
        self, run: Run, staging: S3Store, vendor_file: MakeFile
    ) -> None:
        file = vendor_file("download.csv", ["01/02/2024,1.234"], header="date;close".replace(";", ","))
        text = "date;close\n03/01/2024;1.234\n"
        file.write_text(text)
        options = ("--symbol", "BTC/USD", "--dates", "dmy", "--decimal", "comma", "--timezone", "Asia/Kolkata")
        (receipt,) = receipts(run("ingest", file, *options, "--unit", "100", "--json").stdout)
        folders = "symbol=BTC%2FUSD/timezone=Asia-Kolkata/dates=dmy/decimal=comma/unit=100/"
        assert keys(staging) == [f"daily_prices/uploads/{folders}download.csv"]
        assert [(b["symbol"], b["date"], b["close"]) for b in bars(run)] == [("BTC/USD", "2024-01-03", 1234.0)]
        assert receipt.decided == {"dates": "hint", "decimal": "hint", "unit": "hint"}

    @pytest.mark.parametrize(
        ("option", "value", "said"),
        [
            ("--timezone", "Mumbai", "Asia/Kolkata"),
            ("--dates", "dym", "dmy, mdy, ymd"),
            ("--decimal", ",", "point or comma"),
            ("--unit", "0", "from 1 to"),
        ],
    )
    def test_a_hint_that_is_none_is_wrong_usage(
        self, run: Run, aws: None, vendor_file: MakeFile, option: str, value: str, said: str
    ) -> None:
        done = run("ingest", vendor_file("AAPL.csv", GOOD), option, value)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.replace("│", " ").split())

    def test_a_hint_that_the_file_contradicts_refuses_it(self, run: Run, aws: None, vendor_file: MakeFile) -> None:
        done = run("ingest", vendor_file("AAPL.csv", ["01/25/2024,10"], header="date,close"), "--dates", "dmy")
        assert done.exit_code == 1
        assert "dmy" in done.stderr

    def test_how_a_file_was_read_is_said(self, run: Run, aws: None, vendor_file: MakeFile) -> None:
        rows = ["01/25/2024,10,-1,x", "01/26/2024,11,5,y"]
        done = run("ingest", vendor_file("AAPL.csv", rows, header="date,close,volume,[red]Note"))
        assert done.exit_code == 0
        assert "AAPL.csv: decided: dates by proof" in done.stderr
        assert "AAPL.csv: not read: [red]Note" in done.stderr
        assert "1 value left out of rows that are in the table" in done.stderr
        listed = run("rejects", "list")
        assert "negative_volume" in listed.stdout

    def test_a_file_adjusted_for_a_split_is_one_line(self, run: Run, aws: None, vendor_file: MakeFile) -> None:
        days = [f"2024-01-{day:02}" for day in range(8, 13)]
        run("ingest", vendor_file("AAPL.csv", [*(f"{day},100" for day in days), "2024-01-16,50"], header="date,close"))
        adjusted = [*(f"{day},50" for day in days), "2024-01-16,50"]
        done = run("ingest", vendor_file("new.csv", adjusted, header="date,close"), "--symbol", "AAPL")
        assert "looks adjusted for a 2:1 split on 2024-01-16: 5 rows of AAPL" in done.stderr
        assert "5 rows not in the table" in done.stderr
        assert run("rejects", "list", "--format", "csv").stdout.count("conflict") == 1

    def test_stage_only_uploads_and_stores_nothing(
        self, run: Run, staging: S3Store, lake: S3Store, vendor_file: MakeFile
    ) -> None:
        done = run("ingest", vendor_file("AAPL.csv", GOOD), "--stage-only")
        assert done.stdout.strip() == "s3://staging-bucket/daily_prices/uploads/AAPL.csv"
        assert keys(lake) == []

    def test_a_refused_file_fails_with_its_reason_and_the_others_go_on(
        self, run: Run, aws: None, vendor_file: MakeFile
    ) -> None:
        odd = vendor_file("odd.csv", ["1,2"], header="colour,shape")
        done = run("ingest", odd, vendor_file("AAPL.csv", GOOD))
        assert done.exit_code == 1
        assert "odd.csv" in done.stderr
        assert "AAPL.csv" in done.stdout
        assert len(bars(run)) == 2

    def test_a_conflict_stays_as_first_stored_and_replace_restates_it(
        self, run: Run, aws: None, vendor_file: MakeFile
    ) -> None:
        run("ingest", vendor_file("AAPL.csv", GOOD[:1]))
        other = vendor_file("AAPL-corrected.csv", ["2024-01-02,10,11,9,10.75,100"])
        (receipt,) = receipts(run("ingest", other, "--symbol", "AAPL", "--json").stdout)
        assert (receipt.conflicts, bars(run)[0]["close"]) == (1, 10.5)
        done = run("ingest", other, "--symbol", "AAPL", "--replace")
        assert "1 stored row replaced" in done.stderr
        assert bars(run)[0]["close"] == 10.75
        assert "price_revisions" in done.stderr
        assert "10.5" in run("sql", "SELECT close, replaced_by FROM price_revisions").stdout

    def test_a_file_over_the_limit_is_refused_before_it_is_read(
        self, run: Run, staging: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STOCK_PIPELINE_MAX_OBJECT_MB", "1")
        huge = tmp_path / "AAPL.csv"
        with huge.open("wb") as file:
            file.truncate(2 * 1024 * 1024)
        done = run("ingest", huge)
        assert done.exit_code == 1
        assert "over the limit of 1 MiB" in done.stderr
        assert keys(staging) == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["missing.csv"], "does not exist"),
            (["."], "is a directory"),
            (["AAPL.csv", "--symbol", "no symbol"], "not a symbol"),
            (["AAPL.csv", "--replace", "--stage-only"], "leave one of the two"),
            (["AAPL.csv", "folder/AAPL.csv"], "two files are called AAPL.csv"),
            ([], "Missing argument"),
        ],
    )
    def test_wrong_usage_is_status_2_and_uploads_nothing(
        self,
        run: Run,
        staging: S3Store,
        tmp_path: Path,
        vendor_file: MakeFile,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        vendor_file("AAPL.csv", GOOD)
        vendor_file("folder/AAPL.csv", GOOD)
        done = run("ingest", *arguments)
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.replace("│", " ").split())
        assert keys(staging) == []

    def test_a_name_with_markup_and_escapes_is_shown_as_it_is_and_obeyed_by_nobody(
        self, run: Run, aws: None, vendor_file: MakeFile
    ) -> None:
        done = run("ingest", vendor_file("[red]A\x1b[2J.csv", GOOD), "--symbol", "AAPL")
        assert done.exit_code == 0
        assert "[red]A\N{REPLACEMENT CHARACTER}[2J.csv" in done.stdout
        assert "\x1b" not in done.stdout + done.stderr


class TestRejects:
    @pytest.fixture
    def rejected(self, run: Run, aws: None, vendor_file: MakeFile) -> None:
        run("ingest", vendor_file("AAPL.csv", [*GOOD, *BAD]), vendor_file("MSFT.csv", BAD[:1]))

    def test_the_list_counts_by_source_and_reason_and_shows_the_rows_as_they_came(
        self, run: Run, rejected: None
    ) -> None:
        for done in (run("rejects"), run("rejects", "list")):
            assert done.exit_code == 0
            assert "daily_prices/uploads/AAPL.csv │ non_positive_price │    1" in done.stdout
            assert "2024-01-05,10,11,9,ten,100" in done.stdout

    def test_json_holds_every_row_with_its_line_and_reason(self, run: Run, rejected: None) -> None:
        rows = json.loads(run("rejects", "list", "--source", "AAPL.csv", "--format", "json").stdout)
        assert [(r["line"], r["reason"], r["raw"]) for r in rows] == [
            (4, "non_positive_price", BAD[0]),
            (5, "bad_number", BAD[1]),
        ]

    def test_it_narrows_to_reasons_and_limits_the_rows_shown(self, run: Run, rejected: None) -> None:
        done = run("rejects", "list", "--reason", "non_positive_price", "--limit", "1")
        assert "bad_number" not in done.stdout
        assert "1 of 2 rows" in done.stderr

    def test_it_reads_the_records_that_were_written_last_and_says_what_it_left(
        self, run: Run, rejected: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rejects, "NEWEST", 1)
        done = run("rejects")
        assert "left unread: the records of 1 older source; --all reads them, --since DAY some" in done.stderr
        assert ("MSFT.csv" in done.stdout) != ("AAPL.csv" in done.stdout), "they were written in one second"
        for whole in (("--all",), ("--format", "csv"), ("--source", "AAPL.csv")):
            assert "AAPL.csv" in run("rejects", "list", *whole).stdout
        assert "AAPL.csv" in run("rejects", "list", "--since", "2024-01-02", "--all").stdout
        assert "nothing was rejected" in run("rejects", "list", "--since", "2999-01-02").stderr

    def test_an_unknown_reason_names_those_there_are(self, run: Run, rejected: None) -> None:
        done = run("rejects", "list", "--reason", "ugly")
        assert done.exit_code == 2
        assert "bad_date" in done.stderr

    def test_an_unknown_source_fails_and_says_where_to_look(self, run: Run, rejected: None) -> None:
        done = run("rejects", "list", "--source", "nope.csv")
        assert done.exit_code == 1
        assert "nope.csv" in done.stderr

    def test_nothing_rejected_is_said(self, run: Run, aws: None) -> None:
        done = run("rejects")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "nothing was rejected" in done.stderr

    def test_replay_takes_the_source_as_it_is_now(self, run: Run, staging: S3Store, rejected: None) -> None:
        fixed = "Date,Open,High,Low,Close,Volume\n2024-01-04,10,11,9,10,100\n"
        staging.put("daily_prices/uploads/MSFT.csv", fixed.encode())
        done = run("rejects", "replay", "MSFT.csv")
        assert done.exit_code == 0
        assert "1 row stored for the first time" in done.stderr
        left = json.loads(run("rejects", "list", "--format", "json").stdout)
        assert {row["raw"] for row in left if row["source"].endswith("MSFT.csv")} == {BAD[0]}, (
            "the lines of the former version were never stored"
        )
        assert "0 rows stored for the first time" in run("rejects", "replay", "MSFT.csv").stderr

    def test_replay_of_everything_is_idempotent(self, run: Run, rejected: None) -> None:
        before = run("rejects", "list", "--format", "csv").stdout
        for _ in range(2):
            done = run("rejects", "replay", "--all")
            assert done.exit_code == 0
            assert "0 rows stored" in done.stderr
        assert sorted(run("rejects", "list", "--format", "csv").stdout.splitlines()) == sorted(before.splitlines())

    def test_replay_by_reason_takes_only_sources_that_have_it(self, run: Run, rejected: None) -> None:
        done = run("rejects", "replay", "--all", "--reason", "bad_number")
        assert "AAPL.csv" in done.stdout
        assert "MSFT.csv" not in done.stdout

    @pytest.mark.parametrize("arguments", [[], ["AAPL.csv", "--all"]])
    def test_replay_wants_sources_or_all(self, run: Run, rejected: None, arguments: list[str]) -> None:
        assert run("rejects", "replay", *arguments).exit_code == 2


class TestTicks:
    TICK = '{"event_id":"%s","symbol":"AAPL","price":%s,"size":1,"produced_at":"2024-06-03 15:00:0%d.000000"}\n'

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "ticks.jsonl"
        path.write_text(self.TICK % ("a", 10, 1) + self.TICK % ("b", 11, 2) + "{half a\n")
        return path

    def ticks(self, run: Run) -> list[dict[str, Any]]:
        statement = "SELECT event_id, price, source FROM stream_prices_history ORDER BY event_id"
        return list(json.loads(run("sql", statement, "--format", "json").stdout))

    def test_a_file_of_json_lines_ends_in_both_tables_and_again_adds_nothing(
        self, run: Run, staging: S3Store, file: Path
    ) -> None:
        (first,) = receipts(run("ingest", file, "--json").stdout)
        (again,) = receipts(run("ingest", file, "--json").stdout)
        assert keys(staging) == ["stock_stream/uploads/ticks.jsonl"]
        assert (first.table, first.inserted, first.rejected) == ("stream_prices_history", 2, {"malformed_json": 1})
        assert (again.inserted, again.duplicates) == (0, 2)
        source = "stock_stream/uploads/ticks.jsonl"
        assert self.ticks(run) == [
            {"event_id": "a", "price": 10.0, "source": source},
            {"event_id": "b", "price": 11.0, "source": source},
        ]
        latest = run("sql", "SELECT price FROM latest_prices", "--format", "json")
        assert json.loads(latest.stdout) == [{"price": 11.0}]

    def test_prices_and_ticks_may_come_together_and_gzip_is_known_by_its_name(
        self, run: Run, aws: None, vendor_file: MakeFile, file: Path, tmp_path: Path
    ) -> None:
        packed = tmp_path / "more.NDJSON.gz"
        packed.write_bytes(gzip.compress((self.TICK % ("c", 12, 3)).encode()))
        done = run("ingest", file, vendor_file("AAPL.csv", GOOD), packed)
        assert done.exit_code == 0, done.stderr
        assert len(bars(run)) == 2
        assert [tick["event_id"] for tick in self.ticks(run)] == ["a", "b", "c"]

    @pytest.mark.parametrize("option", [["--symbol", "AAPL"], ["--replace"]])
    def test_options_of_daily_prices_are_wrong_usage(
        self, run: Run, staging: S3Store, file: Path, option: list[str]
    ) -> None:
        assert run("ingest", file, *option).exit_code == 2
        assert keys(staging) == []

    def test_the_layout_of_the_lake_holds(self, run: Run, lake: S3Store, file: Path) -> None:
        lay_out(lake, 240)
        run("ingest", file)
        assert "price_by_date_stream/year=2024/month=06/day=03/1200.parquet" in keys(lake)

    def test_rejected_ticks_are_listed_and_replayed_beside_rejected_prices(
        self, run: Run, staging: S3Store, vendor_file: MakeFile, file: Path
    ) -> None:
        run("ingest", file, vendor_file("AAPL.csv", [*GOOD, BAD[0]]))
        listed = json.loads(run("rejects", "list", "--format", "json").stdout)
        assert {(row["target_table"], row["raw"]) for row in listed} == {
            ("stream_prices_history", "{half a"),
            ("price_by_date", BAD[0]),
        }
        staging.put("stock_stream/uploads/ticks.jsonl", (self.TICK % ("mended", 9, 3)).encode())
        done = run("rejects", "replay", "--all")
        assert done.exit_code == 0, done.stderr
        assert "1 row stored for the first time" in done.stderr
        assert [tick["event_id"] for tick in self.ticks(run)] == ["a", "b", "mended"]
        assert "{half a" in run("rejects").stdout, "this line of the former version was never stored"

    def test_many_objects_are_summed_up(self, run: Run, staging: S3Store, lake: S3Store) -> None:
        objects = [f"stock_stream/2024/06/03/15/{n}" for n in range(40)]
        for n, key in enumerate(objects):
            staging.put(key, (self.TICK % (n, 10, 1) + "{half\n").encode())
        ingest_ticks(objects, staging=staging, lake=lake)
        done = run("rejects", "replay", "--all")
        assert "40 objects: 80 rows, 0 new, 0 updated, 40 duplicates, 0 skipped" in done.stderr
        assert "15/7" not in done.stdout


@pytest.mark.parametrize(("width", "lines"), [("80", 3), ("120", 1)])
def test_reasons_have_a_line_each_where_the_terminal_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str, lines: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for name, value in {"COLUMNS": width, "NO_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    rejected = {"bad_date": 1, "inconsistent_ohlc": 2, "non_positive_price": 3}
    receipt = Receipt(
        source="daily_prices/uploads/ACME.csv", etag="e", table="price_by_date", rows=6, rejected=rejected
    )
    show([receipt])
    shown = [line for line in capsys.readouterr().out.splitlines() if "_" in line]
    assert len(shown) == lines
    assert all(len(line) <= int(width) for line in shown)
    assert all(f"{count} {reason}" in "\n".join(shown) for reason, count in rejected.items())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("more", [(), ("--stage-only",), ("--replace",)])
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(
    run: Run, aws: None, tmp_path: Path, more: tuple[str, ...]
) -> None:
    pipe = tmp_path / "AAPL.csv"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/dev/null")):
        done = run("ingest", path, *more)
        assert done.exit_code == 1
        assert "is a pipe or a device; write its content to a file" in done.stderr
