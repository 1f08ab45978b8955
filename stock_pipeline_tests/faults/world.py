"""Buckets, queues, workers and readers of one schedule.

Workers are the Lambda functions' handlers, called as Lambda calls them. A restatement is the ingest that the command
line calls. A killed worker is started again after a while, and remembers nothing.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from math import inf
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus

import pyarrow as pa

from stock_pipeline.aws import lambda_reporter
from stock_pipeline.errors import (
    DamagedObject,
    LayoutError,
    MergeContention,
    RowsWouldBeLost,
    StockPipelineError,
    StoreUnavailable,
)
from stock_pipeline.ingest import commit, corrections
from stock_pipeline.ingest import daily as ingest
from stock_pipeline.ingest import ticks as ingest_ticks
from stock_pipeline.lake import (
    layout_object,
    memory_store,
    parquet,
    partitions,
    recognized_layout,
    rejected_records,
    remembered,
)
from stock_pipeline.lake.layout import Layout, Section
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore, named
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance import rebuild as rebuilding
from stock_pipeline.maintenance import reconcile, seen
from stock_pipeline.maintenance import restore as restoring
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.maintenance.reconcile import find_unseen, repair
from stock_pipeline.maintenance.restore import plan_restore, restore
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, REJECTED_RECORDS, STREAM_PRICES_HISTORY, TABLES, Table
from stock_pipeline.settings import Settings
from stock_pipeline.staging import reader as raw_objects
from stock_pipeline.staging.keys import RAW_TICKS
from stock_pipeline_tests.faults import handlers
from stock_pipeline_tests.faults.hub import Hub, Pool, Worker
from stock_pipeline_tests.faults.inputs import Source, notification
from stock_pipeline_tests.faults.ledger import CORRECTIONS, HISTORY, INGEST, LAYOUT, PRICES, Ledger
from stock_pipeline_tests.faults.lineage import Lineage
from stock_pipeline_tests.faults.queues import Message, Queue
from stock_pipeline_tests.faults.verdict import judge_conflicts, judge_ingest, judge_receipt
from stock_pipeline_tests.faults.wire import Log, Wire, WireStore
from stock_pipeline_tests.support import law
from stock_pipeline_tests.support.memory_store import MemoryStore

START = datetime(2024, 6, 7, 20, tzinfo=UTC)
_UNDONE = (StoreUnavailable, MergeContention, RowsWouldBeLost, DamagedObject)
"""What a person answers with another try; of a rebuild that saw a stale list, or of an object that is mended soon."""

_PATIENCE = 60  # tries
_SO_MANY = 10
"""When so many objects fail alike, a call may give up."""
_FAR = START + timedelta(days=9000)
_BEFORE = datetime(2024, 6, 1, tzinfo=UTC)

SHORTEST, LONGEST = 0.05, 10.0
"""Seconds that a worker waits before it asks its queue again."""

Connect = Callable[[Wire], ObjectStore]


@dataclass
class World:
    """One pipeline, and whoever acts in it. `once`: no stored value ever gives way in it."""

    random: random.Random
    once: bool = True
    connect: Connect = WireStore
    greed: int = 10  # so many messages a function of the stream is given at most
    careful: bool = False  # queues that neither duplicate nor lose, and workers that never stop early
    crashes: int = 0
    ingests: int = 0
    stopping: bool = False
    log: Log = field(default_factory=Log)
    rewritten: set[str] = field(default_factory=set)  # objects that come a second time under their key
    at_work: Counter[str] = field(default_factory=Counter)  # the ingests that read an object now, by key
    on_everything: int = 0  # rebuilds and the like, which may write the records of any object
    last_on_everything: float = -1.0  # when the last one ended; infinite while one that broke off is not finished
    overtaken: set[str] = field(default_factory=set)  # the records of files that somebody is restating

    def __post_init__(self) -> None:
        self.hub = Hub(self.random)
        staging, lake = MemoryStore(handlers.STAGING, versioned=True), MemoryStore(handlers.LAKE, versioned=True)
        self.ledger = Ledger(staging, lake)
        self.wires = {bucket.bucket: Wire(bucket, self.hub, self.log) for bucket in (staging, lake)}
        self.staging, self.lake = (self.connect(wire) for wire in self.wires.values())
        self.batch = Queue(self.hub, self.random, visibility=60, most_tries=5, careful=self.careful)
        self.stream = Queue(self.hub, self.random, visibility=60, most_tries=5, careful=self.careful)
        self._moment = 0
        self.busy = 0

    def clock(self) -> datetime:
        """The loading time of an ingest: no two have the same. Some workers' clocks are slow."""
        self._moment += INGEST // timedelta(microseconds=1)
        slow = 40 if self.random.random() < 0.1 else 0
        return START + timedelta(seconds=int(self.hub.now) - slow, microseconds=self._moment)

    def overtakable(self, operation: str, key: str) -> bool:
        """Whether others may do much between this request and what it is for, and a bug could show only then."""
        if operation == "get" and key in self.rewritten:  # whoever reads the next version may be faster
            return key not in self.ledger.staging.gets
        if operation == "put" and key.startswith(PRICES) and self.hub.worker.name.startswith("rebuild"):
            return True  # others may ingest what the rebuild has not read
        return key == LAYOUT and operation == "put"  # a day may be settled, or the layout be changed

    def restating(self, operation: str, key: str) -> bool:
        """Whether a worker puts on record what a file met while somebody restates that file."""
        return operation == "put" and key in self.overtaken and not self.hub.worker.name.startswith("restatement")

    def let_restate(self, record: str) -> None:
        """Wait until a restatement is done, but not for ever."""
        until = self.hub.now + 50
        self.hub.pause(until=lambda: record not in self.overtaken or self.hub.now > until)

    # --- actors ------------------------------------------------------------------------------------------------------

    def act(self, name: str, work: Callable[[], object]) -> None:
        """Somebody who acts once and is never killed."""
        self.busy += 1

        def until_done() -> None:
            try:
                work()
            finally:
                self.busy -= 1

        self.hub.spawn(Worker(name), until_done)

    def keep(self, name: str, work: Callable[[], object]) -> None:
        """A worker that is started again whenever it is killed, until `work` returns."""

        def supervise() -> None:
            lives = 0
            while True:
                lives += 1
                worker = Worker(f"{name}.{lives}")
                task = self.hub.spawn(worker, work)
                self.hub.pause(until=lambda task=task: task not in self.hub.tasks)
                if worker.alive:
                    return
                self.crashes += 1
                self.hub.pause(self.random.uniform(0, 20))

        self.hub.spawn(Worker(f"{name}'s keeper"), supervise)

    def drop(self, sources: Sequence[Source], *, patience: float) -> None:
        """Stage objects one after the other, and notify of each, sometimes twice, sometimes late."""
        for source in sources:
            self.hub.pause(self.random.uniform(0, patience))
            self.notify(self.ledger.stage(source), patience)

    def rewrite(self, source: Source) -> None:
        """Stage an object a second time: some while after the first, or as soon as somebody is at work on that."""
        self.hub.pause(until=lambda: source.key in self.ledger.sources)
        if self.random.random() < 0.3:
            self.hub.pause(self.random.uniform(0, 40))
        else:
            self.hub.pause(until=lambda: source.key in self.ledger.staging.gets)
        self.notify(self.ledger.stage(source))

    def notify(self, info: ObjectInfo, patience: float = 0.0) -> None:
        queue = self.stream if info.key.startswith(RAW_TICKS) else self.batch
        self.ledger.notified.add((info.key, info.etag))
        event = notification(handlers.STAGING, info)
        path = info.key.partition("/")[0]
        staged = [other for other in self.ledger.staging.versions("") if other.key.partition("/")[0] == path]
        if not self.careful and self.random.random() < 0.2:  # S3 may tell of several objects in one message
            event["Records"].insert(0, notification(handlers.STAGING, self.random.choice(staged))["Records"][0])
        for _ in range(1 if self.careful else self.random.choice((1, 1, 1, 1, 2))):
            queue.send(json.dumps(event), self.random.uniform(0, patience))

    def serve_stream(self) -> None:
        """SQS calls the function with a group of messages, and deletes those that it does not name as failed."""
        idle = SHORTEST
        while not self.stopping:
            messages = self.stream.receive(self.random.randint(1, self.greed))
            if messages:
                self._call(handlers.stream(), self.stream, messages)
            idle = self._rest(idle, bool(messages))

    def serve_batch(self) -> None:
        """The same for daily prices; S3 itself calls the function with an event when there is only one."""
        idle = SHORTEST
        while not self.stopping:
            messages = self.batch.receive(self.random.randint(1, self.greed))
            if len(messages) == 1:
                self._call_by_s3(messages[0])
            elif messages:
                self._call(handlers.batch(), self.batch, messages)
            idle = self._rest(idle, bool(messages))

    def _call(self, function: ModuleType, queue: Queue, messages: list[Message]) -> None:
        records = [{"messageId": m.id, "body": m.body, "eventSource": "aws:sqs"} for m in messages]
        try:
            failed = function.arrivals().messages(records, self._go_on)
        except StockPipelineError as error:  # for all of them alike
            self._judge_failure(error, [json.loads(m.body) for m in messages if "no event" not in m.body])
            failed = [message.id for message in messages if self.hub.worker.alive]
        for message in messages:
            self._between(0.03)
            if message.id in failed:
                queue.give_back(message)
            else:
                queue.delete(message)

    def _call_by_s3(self, message: Message) -> None:
        """Lambda calls the function with an event, and calls again with what failed."""
        event = json.loads(message.body)
        try:
            handlers.batch().arrivals().answer(event, self._go_on)
        except StockPipelineError as error:
            self._judge_failure(error, [event])
            if self.hub.worker.alive:
                self.batch.give_back(message)
        else:
            self._between(0.03)
            self.batch.delete(message)

    def _judge_failure(self, error: StockPipelineError, events: list[dict[str, Any]]) -> None:
        """A damaged object does not stop a call of objects that do not need it."""
        if not isinstance(error, DamagedObject):
            return
        keys = {unquote_plus(r["s3"]["object"]["key"]) for event in events for r in event["Records"] if "s3" in r}
        innocent = sorted(key for key in keys if not self.ledger.needs(key, error.key))
        if innocent and len(keys) < _SO_MANY:
            self.ledger.problem(f"{error.key} is damaged, and stopped {innocent}, which do not need it")

    def _rest(self, idle: float, worked: bool) -> float:
        """Wait before asking the queue again, longer each time that there was nothing; returns the next wait."""
        self.hub.pause(self.random.uniform(0, SHORTEST if worked else idle))
        return SHORTEST if worked else min(2 * idle, LONGEST)

    def restate(self, key: str, *, others: bool = True) -> None:
        """Somebody ingests an object as a restatement, and tries again until it is done. `others`: a function has it to
        ingest as well.
        """
        self.hub.pause(until=lambda: key in self.ledger.sources)
        record = partitions.partition_key(REJECTED_RECORDS, rejected_records.rejects_partition(PRICE_BY_DATE, key))
        self.overtaken.add(record)
        when, late = self.random.random(), self.hub.now + 60
        if not others or when < 0.25:
            self.hub.pause(self.random.uniform(0, 5))
        elif when < 0.5:  # while the function is at work on it
            self.hub.pause(until=lambda: key in self.ledger.staging.gets)
        else:  # and about to put on record what it met
            # A function that meets a damaged object never gets so far.
            self.hub.pause(until=lambda: record in self.ledger.lake.gets or self.hub.now > late)
        self.until_done(lambda: ingest.ingest_daily_prices([key], staging=self.staging, lake=self.lake, replace=True))
        self.overtaken.discard(record)

    def rebuild(self, year: int) -> None:
        """Somebody rebuilds a year, some while after the first objects came, or while they come."""
        if self.random.random() < 0.4:
            self.hub.pause(self.random.uniform(0, 60))
        else:
            self.hub.pause(until=lambda: any(key.startswith("daily_prices/") for key in self.ledger.sources))
        self.until_done(
            self._on_everything(lambda: rebuild_year(year, staging=self.staging, lake=self.lake, now=self.clock()))
        )

    def reconcile(self) -> None:
        """The job that looks for what no table has seen."""
        self.hub.pause(self.random.uniform(0, 60))
        self.until_done(self._on_everything(self.repair))

    def repair(self) -> None:
        """Find what no table has seen, among all objects, and ingest it."""
        unseen = find_unseen(staging=self.staging, lake=self.lake, since=None, age=timedelta(0), now=_FAR)
        repair(unseen, staging=self.staging, lake=self.lake, settings=Settings(), now=self.clock())

    def restore(self, *, by_hand: bool) -> None:
        """Somebody puts an old version of a year back: by the command, or by a copy that leaves the rest to others."""
        self.hub.pause(self.random.uniform(0, 120))
        if found := self._restorable():
            key = self.random.choice(found)
            partition = key.removeprefix(PRICE_BY_DATE.prefix).removesuffix(PRICE_BY_DATE.suffix)
            old = self.random.choice(self.ledger.lake.kept[key][:-1])
            if by_hand:
                self.ledger.lake.put(key, old.data)
            else:
                self.until_done(self._on_everything(lambda: self._restore(partition, old.info.version)))

    def _restorable(self) -> list[str]:
        kept = sorted(self.ledger.lake.kept.items())
        own = [key for key, all_ in kept if len(all_) > 1 and partitions.partition_of(PRICE_BY_DATE, key)]
        return [key for key in own if key not in self.ledger.ever_damaged]

    def _restore(self, partition: str, version: str) -> None:
        plan = plan_restore(PRICE_BY_DATE, partition, staging=self.staging, lake=self.lake, version=version)
        restore(plan, staging=self.staging, lake=self.lake, settings=Settings(), now=self.clock())

    def relay(self, sections: Sequence[tuple[int, int]]) -> None:
        """Somebody changes the layout of history again and again: some minutes and shards, from the first day on that
        has no ticks, or from another. By their clock the days of the ticks lie ahead.
        """
        for minutes, shards in sections:
            waits, reads = self.hub.now + self.random.uniform(0, 15), self.ledger.lake.gets.count(LAYOUT)
            if self.random.random() < 0.5:
                self.hub.pause(waits - self.hub.now)
            else:  # while somebody may be settling a day
                self.hub.pause(
                    until=lambda w=waits, r=reads: self.ledger.lake.gets.count(LAYOUT) > r or self.hub.now > w
                )
            day = self._first_free_day() if self.random.random() < 0.7 else date(2024, 6, self.random.randint(3, 7))
            with suppress(LayoutError):  # ticks of that day are stored
                change = partial(layout_object.change_layout, self.lake, Section(day, minutes, shards), now=_BEFORE)
                self.until_done(change)

    def _first_free_day(self) -> date:
        stored = self.ledger.lake.objects.get(LAYOUT)
        settled = Layout.from_json(stored.data).settled_before if stored else date.min
        return max(settled, date(2024, 6, 3))

    def litter(self, times: int) -> None:
        """Somebody copies objects beside themselves, with other values, and leaves what other tools leave."""
        for _ in range(times):
            self.hub.pause(self.random.uniform(0, 15))
            for key, rows in list(self.ledger.tables.items()):
                if key.startswith((HISTORY, CORRECTIONS, PRICES)) and rows:
                    table = next(table for table in TABLES.values() if key.startswith(table.prefix))
                    wrong = [row | {"symbol": "FOREIGN"} if "date" in row else row | {"price": 9e9} for row in rows]
                    data = parquet.encode(pa.Table.from_pylist(wrong, table.schema), table)
                    folder, _, name = key.rpartition("/")
                    for foreign in (f"{name.removesuffix('.parquet')} (1).parquet", "part-00000-c000.parquet"):
                        self._put_aside(f"{folder}/{foreign}", data)
                    self._put_aside(f"{folder}/_SUCCESS", b"")

    def damage(self, times: int) -> None:
        """Somebody damages objects of the lake; after a while somebody else restores them as they were."""
        for _ in range(times):
            self.hub.pause(self.random.uniform(0, 15))
            key = self._object_to_damage()
            if not key or not self.faulty:
                continue
            data = self.ledger.damaged[key] = self.ledger.lake.objects[key].data
            self.ledger.ever_damaged.add(key)
            broken = (b"", b"", data[: len(data) // 2], b"PAR1" + data[:-4], b"not Parquet")
            self._put_aside(key, self.random.choice(broken))
            self.hub.pause(self.random.uniform(0, 30))
            self._put_aside(key, data)
            del self.ledger.damaged[key]

    def _object_to_damage(self) -> str:
        """Any object, or one that somebody has just read, perhaps to write it; empty when there is none."""
        gets = self.ledger.lake.gets
        begun, until = len(gets), self.hub.now + 15
        if self.random.random() < 0.6:
            self.hub.pause(until=lambda: bool(self.ledger.tables.keys() & gets[begun:]) or self.hub.now > until)
        read = sorted(self.ledger.tables.keys() & gets[begun:])
        return self.random.choice(read or sorted(self.ledger.tables) or [""])

    def _put_aside(self, key: str, data: bytes) -> None:
        """Put an object that is not the pipeline's doing: the ledger does not judge it."""
        memory_store.MemoryStore.put(self.ledger.lake, key, data)

    def _met_damage(self, error: DamagedObject) -> None:
        """Damage is told with the object's name, and how to mend it."""
        told = f"{error.key} of" in str(error) and "from the bucket's versions" in str(error)
        if error.key not in self.ledger.ever_damaged or not told:
            self.ledger.problem(f"what is damaged is told wrongly: {error}")

    def until_done(self, work: Callable[[], object]) -> None:
        for _ in range(_PATIENCE):
            try:
                work()
            except _UNDONE as error:
                last = error
                self.hub.pause(self.random.uniform(1, 20))
            else:
                return
        self.ledger.problem(f"somebody gave up: {last}")

    def read(self) -> None:
        """Somebody who reads tables again and again: whole commits only, and a snapshot that never goes back."""
        seen: dict[str, dict[str, Any]] = {}
        while not self.stopping:
            self.hub.pause(self.random.uniform(0.1, 30))
            try:
                self._read_once(seen)
            except StoreUnavailable:
                pass
            except DamagedObject as error:
                self._met_damage(error)
            except (pa.ArrowException, ValueError) as error:
                self.ledger.problem(f"a reader met {type(error).__name__}: {error}")

    def _read_once(self, seen: dict[str, dict[str, Any]]) -> None:
        table = self.random.choice((LATEST_PRICES, LATEST_PRICES, STREAM_PRICES_HISTORY, PRICE_BY_DATE, None))
        if table is None:
            rejected_records.read_rejects(self.lake, self.random.choice((PRICE_BY_DATE, STREAM_PRICES_HISTORY)))
            return
        names = [SNAPSHOT] if table is LATEST_PRICES else partitions.partitions(self.lake, table)
        for name in names[:2]:
            found = partitions.read_partition(self.lake, table, name)
            if found is None:
                continue
            rows = found.to_pylist()
            if rows not in self.ledger.versions[partitions.partition_key(table, name)]:
                self.ledger.problem(f"a reader saw {table.name} {name} as nobody ever committed it")
            if table is LATEST_PRICES:
                self._saw(rows, seen)

    def _saw(self, rows: list[dict[str, Any]], seen: dict[str, dict[str, Any]]) -> None:
        counting = {(row["symbol"], row["event_id"]) for row in self.ledger.standing()}
        for row in rows:
            before = seen.get(row["symbol"], row)
            if (row["symbol"], before["event_id"]) in counting and law.order(row) < law.order(before):
                self.ledger.problem(f"a reader saw {row['symbol']} go back to {row['event_id']}")
            seen[row["symbol"]] = row

    def _go_on(self) -> bool:
        return self.careful or not self.faulty or self.random.random() > 0.2

    def _between(self, chance: float) -> None:
        """A worker may be killed after its work, before it says so."""
        self.hub.pause()
        if not self.careful and not self.stopping and self.faulty and self.random.random() < chance:
            self.wires[handlers.LAKE].kill()

    @property
    def faulty(self) -> bool:
        return self.log.pick is not _no_fault

    # --- the run -----------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.log.pick = _no_fault
        self.batch.careful = self.stream.careful = True

    def run(self) -> None:
        """Run until everything is staged, no message waits, and the workers have ended."""

        def watch() -> None:
            self.hub.pause(until=lambda: not self.busy and self.batch.done and self.stream.done)
            self.stopping = True

        self.stopping = False
        self.hub.spawn(Worker("watch"), watch)
        self.hub.run()

    @contextmanager
    def installed(self, **small: int) -> Iterator[None]:
        """The pipeline on this world's buckets, pools and clock. `small` sets GROUP_BYTES, GROUP_ROWS and ALONE."""
        pool = {"ThreadPoolExecutor": partial(Pool, self.hub)}
        lineage = Lineage(self.ledger, partial(self._between, 0.02))
        with handlers.patched((lambda_reporter, {"sqs_client": lambda: lineage})):
            reporter = lambda_reporter.Reporter(handlers.SILENT, handlers.SILENT, "lineage")
        function = {"STAGING": self.staging, "LAKE": self.lake, "reporter": reporter}
        function |= {"logger": handlers.SILENT, "metrics": handlers.SILENT}
        time = SimpleNamespace(sleep=self.hub.pause)
        decode = partial(_decoded, {})
        daily = partial(self._ingesting, ingest.ingest_daily_prices)
        ticks = partial(self._ingesting, ingest_ticks.ingest_ticks)
        sizes = ((m, {n: v}) for n, v in small.items() for m in (ingest, ingest_ticks, raw_objects) if hasattr(m, n))
        with handlers.patched(
            (commit, pool),
            (reconcile, pool | {"ingest_daily_prices": daily, "ingest_ticks": ticks}),
            (restoring, {"ingest_daily_prices": daily}),
            (rebuilding, {"ingest_daily_prices": daily}),
            (seen, pool),
            (remembered, pool),
            (corrections, pool),
            (recognized_layout, pool),
            (layout_object, {"_KNOWN": _Known(self.hub)}),
            (raw_objects, pool),
            (ingest, {"ingest_daily_prices": daily}),
            (rejected_records, pool | {"decode": decode}),
            (partitions, {"time": time, "random": self.random, "decode": decode}),
            (handlers.batch(), function | {"ingest_daily_prices": daily}),
            (handlers.stream(), function | {"ingest_ticks": ticks}),
            *sizes,
        ):
            yield

    def _ingesting(self, work: Callable[..., list[Receipt]], keys: Sequence[str], **options: Any) -> list[Receipt]:
        """Every ingest goes through here: it has its time, its receipts are judged, and no bug is swallowed."""
        now = options["now"] = options.get("now") or self.clock()
        self.ingests += 1
        try:
            with self._at_work({named(key).key for key in keys}) as done:
                receipts = work(keys, **options)
                done.append(len(receipts) == len(keys))
        except StoreUnavailable:
            raise
        except DamagedObject as error:
            self._met_damage(error)
            raise
        except Exception as error:  # lost races too: so few workers never lose that often
            self.ledger.problem(f"ingesting {keys} raised {type(error).__name__}: {error}")
            raise
        self.ledger.receipts |= {receipt.id: receipt for receipt in receipts}
        if not (self.ledger.rebuilt or self.ledger.restored):
            for receipt in receipts:
                mine = [r for r in receipts if r.source == receipt.source]
                whole = len(mine) == sum(named(key).key == receipt.source for key in keys)
                claimed = sum(r.inserted + r.updated for r in mine) if whole else None
                judge_receipt(self.ledger, receipt, now, claimed, once=self.once)
            if len(receipts) == len(keys):  # else it was stopped, and of what it stored last there is no receipt yet
                judge_ingest(self.ledger, receipts, now, once=self.once)
        return receipts

    def _on_everything(self, work: Callable[[], object]) -> Callable[[], None]:
        """Work that may write the records of any object: none is judged while it is going on, or broken off."""

        def done() -> None:
            self.on_everything += 1
            self.last_on_everything = inf
            try:
                work()
                self.last_on_everything = self.hub.now
            finally:
                self.on_everything -= 1

        return done

    @contextmanager
    def _at_work(self, keys: set[str]) -> Iterator[list[bool]]:
        """An ingest of these objects. When the last one at work on an object is done, and none was broken off since it
        began, the records of the object are as they must be.
        """
        begun, done = self.hub.now, list[bool]()
        self.at_work.update(keys)
        try:
            yield done
        finally:
            self.at_work.subtract(keys)
            self.ledger.broken_off |= {} if all(done) and done else dict.fromkeys(keys, self.hub.now)
        quiet = (key for key in sorted(keys) if not self.at_work[key] and self.ledger.broken_off.get(key, -1.0) < begun)
        for version in [version for key in quiet for version in self.ledger.sources.get(key, {}).items()]:
            if not self.ledger.restored and not self.on_everything and self.last_on_everything < begun:
                judge_conflicts(self.ledger, *version)


class _Known:
    """What each process has read of the layout; a process that is started again has read nothing."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._by = hub, dict[tuple[Worker, int], Layout]()

    def get(self, lake: ObjectStore) -> Layout | None:
        return self._by.get((self._hub.worker, id(lake)))

    def __setitem__(self, lake: ObjectStore, layout: Layout) -> None:
        self._by[self._hub.worker, id(lake)] = layout


def _decoded(
    known: dict[object, pa.Table], data: bytes, table: Table, key: str, columns: list[str] | None = None, **how: bool
) -> pa.Table:
    """What `parquet.decode` says of these bytes; most are read several times, and cost as much each time."""
    what = (data, table.name, columns and tuple(columns))
    if what not in known:
        known[what] = parquet.decode(data, table, key, columns, **how)
    return known[what]


def _no_fault(number: int, operation: str, key: str) -> None:
    return None
