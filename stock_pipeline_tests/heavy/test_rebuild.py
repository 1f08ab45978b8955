"""Years built again, as tasks: a loop, a pool, killed processes and second starts give the same objects."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from stock_pipeline.errors import RowsWouldBeLost, StoreUnavailable
from stock_pipeline.heavy import rebuild as heavy
from stock_pipeline.heavy.executors import in_processes, in_turn
from stock_pipeline.heavy.places import opened
from stock_pipeline.heavy.rebuild import Places, YearDone, compare_years, rebuild_years
from stock_pipeline.heavy.tasks import Executor, Result, Task
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.folder_store import FolderStore
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.maintenance.rebuild import unfinished
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.heavy.some_tasks import DIE_AT
from stock_pipeline_tests.support.desk import HEADER, NOW, UPLOADS

MEMORY = Path("/dev/shm")
YEARS = [2021, 2022, 2023]
LATER = NOW + timedelta(days=1)


class Folders:
    """A staging and a lake bucket in folders, which processes of a pool open, too."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(f"file:{root / 'staging'}", f"file:{root / 'lake'}")
        self.staging, self.lake = opened(self.places.staging), opened(self.places.lake)

    def drop(self, name: str, *lines: str) -> str:
        self.staging.put(UPLOADS + name, "\n".join([HEADER, *lines, ""]).encode())
        return UPLOADS + name

    def ingest(self, *keys: str, **options: Any) -> list[Receipt]:
        return ingest_daily_prices(keys, staging=self.staging, lake=self.lake, **({"now": NOW} | options))

    def copied(self, name: str) -> Folders:
        """A copy, with the times of the files."""
        shutil.copytree(self.root, self.root.with_name(name))
        return Folders(self.root.with_name(name))

    def rebuild(self, run: Executor = in_turn, years: Sequence[int] = YEARS, **more: Any) -> list[YearDone]:
        return rebuild_years(years, self.places, run=run, **({"now": LATER} | more))

    def objects(self) -> dict[str, bytes]:
        """The objects of the tables, the notes and the records; not the journal, which has the clock's times."""
        found = self.lake.list("")
        return {info.key: self.lake.get(info.key).data for info in found if "/_heavy/" not in info.key}

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        found = []
        for name in partitions(self.lake, PRICE_BY_DATE):
            rows = read_partition(self.lake, PRICE_BY_DATE, name)
            assert rows is not None
            found += [tuple(row[c] for c in columns) for row in rows.to_pylist()]
        return found

    def records(self) -> list[tuple[Any, ...]]:
        rows = read_rejects(self.lake, PRICE_BY_DATE).to_pylist()
        return sorted((r["source"], r["line"], r["reason"], r["detail"]) for r in rows)


def lines(symbols: int, sessions: int, close: Callable[[int, int], float]) -> list[str]:
    """Bars of some symbols, in each of the years, with a close by the numbers of the symbol and the session."""
    return [
        f"S{s},{date(year, 1, 1) + timedelta(n)},,,,{close(s, n):g},"
        for s in range(symbols)
        for year in YEARS
        for n in range(sessions)
    ]


def filled(root: Path, symbols: int = 2, sessions: int = 3) -> Folders:
    """Files of several years: two that disagree, a restatement of some, one that was rewritten, bad lines, and files
    that nobody has ingested, of which one disagrees as well.
    """
    folders = Folders(root)
    bad = "S0,2022-02-30,,,,1,", "S0,2023-06-01,,,,x,"
    first = folders.drop("first.csv", *lines(symbols, sessions, lambda s, n: 10 + s + n), *bad)
    second = folders.drop("second.csv", *lines(symbols + 1, sessions, lambda s, n: 10 + s + n + (n == 1)), *bad)
    folders.ingest(first, second)
    restated = [f"S1,{year}-01-02,5,6,4,5.5,100" for year in YEARS]
    folders.ingest(folders.drop("restated.csv", *restated), replace=True, now=NOW + timedelta(hours=1))
    folders.drop("first.csv", *lines(symbols, sessions, lambda s, n: 10 + s + n + (n % 2) / 2), *bad)
    folders.drop("unseen.csv", *lines(symbols + 2, sessions, lambda s, n: 10 + s + n), *bad)
    folders.drop("unseen2.csv", *lines(symbols + 2, sessions, lambda s, n: 20 + s + n))
    return folders


def told(done: Sequence[YearDone]) -> list[Any]:
    """What years tell, without the clock's times."""

    def plain(receipt: Receipt) -> dict[str, Any]:
        return {k: v for k, v in receipt.to_record().items() if k not in ("started_at", "seconds")}

    return [(d.year, d.added, d.changed, d.rows, [plain(r) for r in d.receipts]) for d in done]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where the system has one: a disk that is busy would take most of the time to sync."""
    if not MEMORY.is_dir():
        yield tmp_path_factory.mktemp("heavy")
        return
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def once(memory: Path) -> Folders:
    return filled(memory / "once")


@pytest.fixture(scope="module")
def by_loop(once: Folders) -> tuple[Folders, list[Any]]:
    loop = once.copied("loop")
    return loop, told(loop.rebuild())


def test_the_rebuild_changes_something_in_each_year(by_loop: tuple[Folders, list[Any]], once: Folders) -> None:
    loop, done = by_loop
    assert [(year, added > 0, changed > 0) for year, added, changed, *_ in done] == [(y, True, True) for y in YEARS]
    assert any(reason == "conflict" for _, _, reason, _ in loop.records())
    assert loop.objects() != once.objects()
    assert list(unfinished(loop.lake)) == []


def test_a_pool_writes_the_same_bytes_and_tells_the_same(by_loop: tuple[Folders, list[Any]], once: Folders) -> None:
    pool = once.copied("pool")
    assert told(pool.rebuild(in_processes(2))) == by_loop[1]
    assert pool.objects() == by_loop[0].objects()


@pytest.mark.parametrize("moment", ["commit", "records", "end"])
def test_a_process_that_is_killed_changes_nothing(
    moment: str, by_loop: tuple[Folders, list[Any]], once: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its commit, after it, and after the records: the task is done again, with the same result."""
    monkeypatch.setenv(DIE_AT, f"{moment}:{tmp_path}")
    killed = once.copied(f"killed-{moment}")

    def run(tasks: Sequence[Task], on_progress: Progress | None) -> list[Result]:
        dying = "stock_pipeline_tests.heavy.some_tasks:dying_rebuild"
        return in_processes(1)([replace(task, function=dying) for task in tasks], on_progress)

    assert told(killed.rebuild(run)) == by_loop[1]
    assert killed.objects() == by_loop[0].objects()
    assert [len(list((tmp_path / str(year)).iterdir())) for year in YEARS] == [1, 1, 1], "each was killed once"


def test_a_second_start_goes_on_and_a_third_begins_anew(by_loop: tuple[Folders, list[Any]], once: Folders) -> None:
    stopped = once.copied("stopped")
    begun: list[list[str]] = []

    def run(tasks: Sequence[Task], on_progress: Progress | None) -> list[Result]:
        begun.append([task.name for task in tasks])
        results = in_turn(tasks[:1] if len(begun) == 1 else tasks, on_progress)
        if len(begun) == 1:
            raise KeyboardInterrupt
        return results

    with pytest.raises(KeyboardInterrupt):
        stopped.rebuild(run)
    said: list[str] = []
    # Another time is given, and the time of the first start counts.
    assert told(stopped.rebuild(run, now=LATER + timedelta(days=9), say=said.append)) == by_loop[1]
    assert stopped.objects() == by_loop[0].objects()
    assert "1 of 3 are done" in said[0]
    again = stopped.rebuild(run, say=said.append)
    assert begun == [["2021", "2022", "2023"], ["2022", "2023"], ["2021", "2022", "2023"]]
    assert ([(done.added, done.changed) for done in again], len(said)) == ([(0, 0)] * 3, 1)


def test_a_start_can_be_made_to_begin_anew(once: Folders) -> None:
    stopped = once.copied("anew")

    def stop(tasks: Sequence[Task], on_progress: Progress | None) -> list[Result]:
        in_turn(tasks[:2], on_progress)
        raise StoreUnavailable("k", "no reply")

    with pytest.raises(StoreUnavailable):
        stopped.rebuild(stop)
    begun: list[int] = []

    def counted(tasks: Sequence[Task], on_progress: Progress | None) -> list[Result]:
        begun.append(len(tasks))
        return in_turn(tasks, on_progress)

    stopped.rebuild(counted, anew=True)
    assert begun == [3]


def test_a_lake_that_is_built_from_nothing_is_what_ingesting_in_order_makes(memory: Path) -> None:
    ingested = Folders(memory / "ingested")
    names = [
        ingested.drop("a.csv", *lines(2, 3, lambda s, n: 10 + s + n), "S0,2022-02-30,,,,1,"),
        ingested.drop("b.csv", *lines(3, 3, lambda s, n: 10 + s + n + (n == 1)), "S0,2022-03-03,-1,,,1,"),
        ingested.drop("c.csv", *lines(2, 4, lambda s, n: 11 + s + n)),
    ]
    rebuilt = ingested.copied("rebuilt")
    receipts = ingested.ingest(*names)
    done = rebuilt.rebuild()
    columns = [name for name in PRICE_BY_DATE.schema.names if name != "etl_loading_ts"]
    assert rebuilt.rows(*columns) == ingested.rows(*columns)
    assert rebuilt.records() == ingested.records()
    for number, receipt in enumerate(receipts):
        of_years = [d.receipts[number] for d in done]
        for count in ("inserted", "duplicates", "updated", "conflicts"):
            assert sum(getattr(r, count) for r in of_years) == getattr(receipt, count)
        assert {r.source for r in of_years} == {receipt.source}
        assert all(r.rejected == receipt.rejected for r in of_years)


def test_a_year_that_is_refused_does_not_hold_up_the_others(memory: Path) -> None:
    folders = Folders(memory / "refused")
    folders.ingest(folders.drop("a.csv", "A,2021-01-04,,,,1,", "A,2022-01-04,,,,1,", "A,2023-01-04,,,,1,"))
    folders.drop("a.csv", "A,2021-01-04,,,,2,", "A,2023-01-04,,,,2,", "B,2020-01-03,,,,2,")
    with pytest.raises(RowsWouldBeLost, match="A 2022-01-04"):
        folders.rebuild()
    assert folders.rows("date", "close") == [
        (date(2020, 1, 3), 2.0), (date(2021, 1, 4), 2.0), (date(2022, 1, 4), 1.0), (date(2023, 1, 4), 2.0)
    ]  # fmt: skip
    # A person has mended it: nothing of the refused start counts any more.
    folders.drop("a.csv", "A,2021-01-04,,,,3,", "A,2022-01-04,,,,3,", "A,2023-01-04,,,,3,", "B,2020-01-03,,,,2,")
    folders.rebuild(now=LATER + timedelta(days=1))
    assert {close for day, close in folders.rows("date", "close") if day.year > 2020} == {3.0}


def test_a_year_that_loses_its_race_is_planned_again_with_what_came(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders(memory / "raced")
    folders.ingest(folders.drop("a.csv", "A,2021-01-04,,,,1,", "A,2022-01-04,,,,1,"))
    folders.drop("a.csv", "A,2021-01-04,,,,2,", "A,2022-01-04,,,,2,")
    swap_in, raced = heavy.swap_in, list[int]()

    def after_another(rebuilt: Any, **where: Any) -> Any:
        if not raced:
            raced.append(rebuilt.year)
            folders.ingest(folders.drop("late.csv", "L,2021-01-05,,,,1,", "L,2022-01-05,,,,1,"))
        return swap_in(rebuilt, **where)

    monkeypatch.setattr(heavy, "swap_in", after_another)
    folders.rebuild(years=YEARS[:2])
    assert raced == [2021]
    assert sorted(folders.rows("symbol", "close")) == [("A", 2.0), ("A", 2.0), ("L", 1.0), ("L", 1.0)]


def test_a_comparison_says_what_would_change_and_writes_nothing(once: Folders, by_loop: tuple[Any, list[Any]]) -> None:
    before = once.objects()
    found = compare_years([2023, 2021, 2021], once.places, now=LATER)
    told_by_rebuild = {year: (added, changed) for year, added, changed, *_ in by_loop[1]}
    assert {r.year: (r.added.num_rows, r.changed.num_rows) for r in found} == {
        year: told_by_rebuild[year] for year in (2021, 2023)
    }
    assert once.objects() == before
    assert [info.key for info in once.lake.list(PRICE_BY_DATE.prefix) if "_heavy" in info.key] == []


def test_a_place_says_which_store_it_is(tmp_path: Path) -> None:
    assert isinstance(opened(f"file:{tmp_path}"), FolderStore)
    assert opened("s3://bucket").bucket == "bucket"
    with pytest.raises(ValueError, match="begins with s3://"):
        opened(str(tmp_path))


@pytest.mark.heavy
def test_a_pool_builds_large_years_as_a_loop_does(memory: Path) -> None:
    """As above, with some 60,000 rows a file."""
    loop = filled(memory / "large", symbols=100, sessions=200)
    pool = loop.copied("large-pool")
    assert told(pool.rebuild(in_processes(2))) == told(loop.rebuild())
    assert pool.objects() == loop.objects()
