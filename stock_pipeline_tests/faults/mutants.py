"""Planted bugs: each mechanism of the pipeline is removed or changed once, and some schedule must notice.

A bug is an edit of the source in a copy of the packages. Schedules run there until one is violated. An edit fails if
its text is missing or not unique: then the mechanism has moved, and the bug must move too.
"""
# ruff: noqa: E501 - the lines of the source are quoted as they are

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stock_pipeline.local.folders import CHECKOUT

SCHEDULES = 160
"""A bug must show in so many schedules, those of the seeds from FIRST on."""
FIRST = 1

COPIED = ("stock_pipeline", "stock_pipeline_tests/faults", "stock_pipeline_tests/__init__.py",
          "stock_pipeline_tests/support", "lambdas")  # fmt: skip

RUN = f"""
import os
import pyarrow as pa
pa.set_cpu_count(1)
from stock_pipeline_tests.faults.schedules import run
for seed in range({FIRST}, {FIRST + SCHEDULES}):
    problems = run(seed).problems
    if problems:
        print(seed, problems[0], flush=True)
        os._exit(0)  # at once: Arrow's threads may abort a process that ends while they still begin
os._exit(3)
"""


@dataclass(frozen=True)
class Mutant:
    """A bug: in a file, this text gives way to that."""

    name: str
    file: str
    old: str
    new: str

    def mutate(self, root: Path) -> None:
        """Plant the bug in a copy; raises AssertionError when its place cannot be found."""
        path = root / self.file
        source = path.read_text()
        found = source.count(self.old)
        assert found == 1, f"{self.name}: its text is {found} times in {self.file}, not once; write the mutant anew"
        path.write_text(source.replace(self.old, self.new))


_MERGE, _COMPLETION, _PARTITIONS, _REJECTS = (
    "stock_pipeline/lake/merge.py",
    "stock_pipeline/lake/completion.py",
    "stock_pipeline/lake/partitions.py",
    "stock_pipeline/lake/rejected_records.py",
)
_COMMIT, _TICKS, _RAW = (
    "stock_pipeline/ingest/commit.py",
    "stock_pipeline/ingest/ticks.py",
    "stock_pipeline/staging/reader.py",
)
_LATEST, _CORRECTIONS = "stock_pipeline/ingest/latest.py", "stock_pipeline/ingest/corrections.py"
_PARSER, _SCHEMAS = "stock_pipeline/parse/ticks/parser.py", "stock_pipeline/schemas.py"
_STEPS, _SEEN = "stock_pipeline/maintenance/rebuild_steps.py", "stock_pipeline/maintenance/seen.py"
_EVENTS = "stock_pipeline/aws/s3_events.py"
_ARRIVALS = "stock_pipeline/ingest/arrivals.py"
_FAILURE = "stock_pipeline/ingest/partial_failure.py"

_LAYOUT, _LAYOUT_OBJECT = "stock_pipeline/lake/layout.py", "stock_pipeline/lake/layout_object.py"

MUTANTS = (
    Mutant("no If-Match", _PARTITIONS, "if_match=etag, if_none_match", "if_match=None, if_none_match"),
    Mutant("no If-None-Match", _PARTITIONS, "if_none_match=etag is None", "if_none_match=False"),
    Mutant("the ETag is that of another read", _PARTITIONS, "return rows, found.info.etag, IngestLog",
           "return rows, store.get(key).info.etag, IngestLog"),
    Mutant("no second try after 412 or 409: the loss is taken for a success", _PARTITIONS,
           "gone\n        return False", "gone\n        return True"),
    Mutant("a lost race ends the ingest with an error of its own", _PARTITIONS,
           "gone\n        return False", "gone\n        raise"),
    Mutant("tried again without reading again", _PARTITIONS,
           "    for _ in attempts(partition_key(table, partition)):  # pragma: no branch - it ends by raising\n        existing, etag, before = read_logged(store, table, partition)\n",
           "    existing, etag, before = read_logged(store, table, partition)\n    for _ in attempts(partition_key(table, partition)):\n"),
    Mutant("an unknown effect is taken for a success", _PARTITIONS,
           "    except (PreconditionFailed, ObjectNotFound):  # S3 answers If-Match with 404 when the object is gone\n        return False",
           "    except PreconditionFailed:\n        return False\n    except Exception:\n        return True"),
    Mutant("only what is new is written", _PARTITIONS, "merged = merge(existing, incoming, table, replace=replace)",
           "merged = merge(None, incoming, table, replace=replace)"),
    Mutant("the last stays instead of the first", _MERGE, "slot[keys[::-1]] = at[::-1]", "slot[keys] = at"),
    Mutant("a stored value gives way unasked", _MERGE, "    if replace:\n", "    if True:\n"),
    Mutant("a conflict is taken for a duplicate", _COMPLETION, "np.where(agree, Outcome.DUPLICATE, Outcome.CONFLICT)", "Outcome.DUPLICATE"),
    Mutant("what agrees and knows more is taken for a duplicate", _COMPLETION, "        outcome[first] = Outcome.UPDATED\n", ""),
    Mutant("a row is completed by one that does not agree", _COMPLETION, "left[agree & add]", "left[add]"),
    Mutant("a completed row still names who stored it first", _COMPLETION, "(here, there) if field.name in table.provenance else (there, here)", "(there, here)"),
    Mutant("what completes a row is not written", _MERGE, "not takes_key.any() and not completed.changed.any()", "not takes_key.any()"),
    Mutant("a completed row is stored beside the one that it was", "stock_pipeline/lake/assembly.py", "    kept = place[keep]\n",
           "    kept = np.append(np.flatnonzero(keep), np.arange(len(keep), rows.num_rows))\n"),
    Mutant("a duplicate is taken for a conflict", _MERGE, "outcome[behind] = Outcome.DUPLICATE", "outcome[behind] = Outcome.CONFLICT"),
    Mutant("others' rows count as own", _MERGE, "in reversed(table.provenance)", "in table.provenance[:1]"),
    Mutant("null is a value like others", _COMPLETION, "pc.fill_null(pc.not_equal(a, b), False)", "pc.fill_null(pc.not_equal(a, b), True)"),
    Mutant("the greatest by time alone", _MERGE, "place = pack(conflicting, (*table.key, *ties))[0]",
           "place = pack(conflicting, table.key)[0]"),
    Mutant("the snapshot by arrival", _MERGE, "leads, _ = pack(both, lead)", "leads = np.arange(both.num_rows)"),
    Mutant("the snapshot is written over", _LATEST, "merged = merge(shown, pa.concat_tables([shown.slice(0, 0), *incoming]), LATEST_PRICES)",
           "merged = merge(None, pa.concat_tables([shown.slice(0, 0), *incoming]), LATEST_PRICES)"),
    Mutant("the snapshot before history", _TICKS, "    merged = merge_group(\n",
           "    update_snapshot(rows, [], lake)\n    merged = merge_group(\n"),
    Mutant("conflicts reach the snapshot", _COMMIT, "return rows if inserted.all() else", "return rows if True else"),
    Mutant("only new ticks reach the snapshot", _COMMIT, "pa.concat_tables([rows.filter(booleans(inserted)), *self.met])",
           "rows.filter(booleans(inserted))"),
    Mutant("an id by the time of loading", _TICKS, "(raw.text, raw.info.key)", '(raw.text, f"{raw.info.key}{now.timestamp()}")'),
    Mutant("an id that forgets the object", _PARSER, '    return blake2b(f"{key}\\n{content}".encode(), digest_size=12).hexdigest()',
           '    return "0" * 24'),
    Mutant("an id that forgets the object's key", _PARSER, 'f"{key}\\n{content}".encode()', "content.encode()"),
    Mutant("an id that forgets the object's content", _PARSER, 'f"{key}\\n{content}".encode()', "key.encode()"),
    Mutant("an id with the bucket's name", _TICKS, "(raw.text, raw.info.key)", '(raw.text, f"{lake.bucket}/{raw.info.key}")'),
    Mutant("a key without the symbol", _SCHEMAS, 'key=("symbol", "event_id")', 'key=("event_id",)'),
    Mutant("the order of ids as texts", _SCHEMAS,
           'order=("sets_last", "produced_at", *(column.name for column in _VENUES_ORDER), "event_id")',
           'order=("sets_last", "produced_at", "event_id")'),
    Mutant("a cancel is ignored", _CORRECTIONS, '            if found["price"] is None:\n                return None\n',
           '            if found["price"] is None:\n                return row\n'),
    Mutant("a cancel that comes before its trade is lost", _LATEST,
           "corrections.now(rows) if shown else corrections.standing(rows)", "rows"),
    Mutant("a session is a day of UTC", "stock_pipeline/trading_calendar/exchange_time.py", 'ZoneInfo("America/New_York")',
           'ZoneInfo("UTC")'),
    Mutant("a rejected record is added, never replaced", _REJECTS, "once_stored(before.rows.filter(mine))])\n",
           "before.rows.filter(mine)])\n"),
    Mutant("a version takes the place of the records of all others", _REJECTS,
           "keep = pa.concat_tables([before.rows.filter(pc.invert(mine)), ", "keep = pa.concat_tables([before.rows.slice(0, 0), "),
    Mutant("a reader takes what is there now, whatever the event names", _RAW, "version=version)\n        except ObjectNotFound",
           ")\n        except ObjectNotFound"),
    Mutant("the version that an event names is lost on the way", _EVENTS, 'record["s3"]["object"].get("versionId")', "None"),
    Mutant("a rebuild makes the ingests again in another order", _STEPS, "for entry in log.entries\n        if", "for entry in reversed(log.entries)\n        if"),
    Mutant("a rebuild reads only what is there now", "stock_pipeline/staging/keys.py", "in staging.versions(RAW_DAILY_PRICES)",
           "in staging.list(RAW_DAILY_PRICES)"),
    Mutant("a rebuild writes over what others wrote meanwhile", "stock_pipeline/maintenance/rebuild.py",
           "not swap(lake, key, rebuilt.data, rebuilt.etag)", "not lake.put(key, rebuilt.data)"),
    Mutant("a version counts as seen when one of its partitions has it", _SEEN,
           "return bool(self.times) and self.expected <= self.times.keys()", "return bool(self.times)"),
    Mutant("an object forgets what it was made from", _PARTITIONS, "encode(rows, table, log.in_footer())", "encode(rows, table)"),
    Mutant("rejected records of one source go under another's", _REJECTS, "hashlib.sha256(source.encode())",
           "hashlib.sha256(source[:13].encode())"),
    Mutant("a former version is put on record after the commit", _PARTITIONS,
           "        if merged.revised is not None:\n            write_revisions(store, table, partition, merged.revised)\n        if commit(store, table, partition, merged.sorted, etag, after):\n",
           "        if commit(store, table, partition, merged.sorted, etag, after):\n            if merged.revised is not None:\n                write_revisions(store, table, partition, merged.revised)\n"),
    Mutant("only what a restatement replaced is put on record, not what was completed", "stock_pipeline/lake/revisions.py",
           "completed = base[base < number]", "completed = base[:0]"),
    Mutant("a version does not end later than it began", "stock_pipeline/lake/revisions.py",
           "given[change.rows] = np.maximum(given[change.givers], was + 1)", "given[change.rows] = given[change.givers]"),
    Mutant("of two ends of a version the first stays", _SCHEMAS,
           'suffix="/revisions.parquet",\n    keep="greatest"', 'suffix="/revisions.parquet",\n    keep="first"'),
    Mutant("a former version is known by its bar alone", _SCHEMAS,
           'key=("symbol", "date", "known_from", "source")', 'key=("symbol", "date")'),
    Mutant("a restatement leaves out what it does not mention", _COMPLETION,
           "keep = field.name in table.values and here.null_count", "keep = False"),
    Mutant("a conflict that a restatement overtook stays on record", _COMMIT, "    while merging.settle():\n", "    while False:\n"),
    Mutant("conflicts are not put on record", _COMMIT, "            if source.info.etag:\n",
           '            if source.info.etag and "conflict" not in found["reason"].to_pylist():\n'),
    Mutant("rejects before the merge's conflicts are known", "stock_pipeline/ingest/sources.py",
           "([source.conflicts.records] if source.conflicts else [])", "[]"),
    Mutant("the key is not decoded", _EVENTS, 'unquote_plus(record["s3"]["object"]["key"])', 'record["s3"]["object"]["key"]'),
    Mutant("the key is decoded twice", _EVENTS, 'key = unquote_plus(record["s3"]["object"]["key"])',
           'key = unquote_plus(unquote_plus(record["s3"]["object"]["key"]))'),
    Mutant("only the first record of an event is read", _EVENTS, 'for record in event["Records"]:\n', 'for record in event["Records"][:1]:\n'),
    Mutant("messages are acknowledged whatever came of them", _ARRIVALS,
           "        return list(left)\n", "        return []\n"),
    Mutant("what there was no time for is acknowledged", _FAILURE,
           "failed | {key: NO_TIME for key in keys if key not in told.keys() | failed.keys()}", "failed"),
    Mutant("an event is acknowledged although its ingest failed", _ARRIVALS,
           "        ingested = self._process(notification.objects, go_on)\n",
           "        try:\n            ingested = self._process(notification.objects, go_on)\n"
           "        except Exception:\n            ingested = Ingested()\n"),
    Mutant("a function tells of no receipt", _ARRIVALS, "        self.reporter.report(ingested.receipts)\n", ""),
    Mutant("a function tells only of what it stored", _ARRIVALS, "self.reporter.report(ingested.receipts)",
           "self.reporter.report([receipt for receipt in ingested.receipts if receipt.inserted])"),
    Mutant("a large object is not read again alone", _RAW,
           "result = attempt(key, max_bytes)", 'result = refused(ObjectInfo(key.key, "", 0, now), "large", False)'),
    Mutant("the layout changes for a day that has ticks", _LAYOUT, "if self.settles(section.first):", "if False:"),
    Mutant("a day is not settled before its first tick", _LAYOUT_OBJECT,
           "layout = found.settled_through(last)", "layout = found"),
    Mutant("what was read of the layout holds for every day", _LAYOUT_OBJECT,
           "    known = _KNOWN.get(lake)\n    if known and known.settles(last):\n        return known\n    for _ in attempts",
           "    known = _KNOWN.get(lake)\n    if known:\n        return known\n    for _ in attempts"),
    Mutant("the layout is written over", _LAYOUT_OBJECT,
           "layout = found.changed(section)\n        if (layout == found and etag) or swap(lake, LAYOUT_KEY, layout.to_json(), etag):",
           "layout = found.changed(section)\n        if (layout == found and etag) or lake.put(LAYOUT_KEY, layout.to_json()):"),
    Mutant("a settled day is written over a change", _LAYOUT_OBJECT,
           "layout = found.settled_through(last)\n        if (layout == found and etag) or swap(lake, LAYOUT_KEY, layout.to_json(), etag):",
           "layout = found.settled_through(last)\n        if (layout == found and etag) or lake.put(LAYOUT_KEY, layout.to_json()):"),
    Mutant("the first instant of a day is of the layout before", _LAYOUT, 'micros, side="right") - 1', 'micros, side="left") - 1'),
    Mutant("an empty object is taken for a partition without rows", _PARTITIONS,
           "    try:\n        rows = decode(found.data, table, key, to_write=True)\n",
           "    if not found.data:\n        return None, found.info.etag, IngestLog()\n"
           "    try:\n        rows = decode(found.data, table, key, to_write=True)\n"),
    Mutant("a damaged object stops all others", _FAILURE, "        return False  # only what needs that object of the lake fails\n",
           "        return True\n"),
    Mutant("a symbol is in several shards", "stock_pipeline/lake/transforms.py",
           "crc32(symbol.encode()) % shards for symbol in coded.dictionary.to_pylist()",
           "number % shards for number, symbol in enumerate(coded.dictionary.to_pylist())"),
    Mutant("foreign objects are read", _PARTITIONS, "return name if table.partition_names.fullmatch(name) else None", "return name"),
    Mutant("an object that does not answer is taken for one that is gone", _RAW,
           "        except ObjectNotFound as error:\n            return refused(",
           "        except Exception as error:\n            return refused("),
)  # fmt: skip


@dataclass(frozen=True)
class Hunt:
    """How a mutant was found: after which seed, by which violation; `seed` is None when it was not."""

    mutant: Mutant
    seed: int | None
    words: str


def hunt(mutant: Mutant) -> Hunt:
    """Run schedules on a copy with the bug until one is violated."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in COPIED:
            source = CHECKOUT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, root / name)
        mutant.mutate(root)
        environment = os.environ | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", RUN], cwd=root, env=environment, capture_output=True, text=True, timeout=900
        )
    if done.returncode == 3:
        return Hunt(mutant, None, f"NOT FOUND in {SCHEDULES} schedules")
    assert done.returncode == 0, f"{mutant.name}: {done.stderr[-2000:]}"
    seed, _, words = done.stdout.strip().partition(" ")
    return Hunt(mutant, int(seed), words)


def run_all(processes: int, mutants: tuple[Mutant, ...] = MUTANTS) -> int:
    """Hunt every mutant, print how each was found, and return how many were not."""
    started = time.monotonic()
    with ThreadPoolExecutor(processes) as threads:
        missed = 0
        for found in threads.map(hunt, mutants):
            missed += found.seed is None
            tries = f"{found.seed - FIRST + 1:3} schedules" if found.seed is not None else "NEVER"
            print(f"  {tries:14} {found.mutant.name}: {found.words[:110]}", flush=True)
    print(f"{len(mutants)} planted bugs, {missed} not found, in {time.monotonic() - started:.0f} s", flush=True)
    return missed
