"""What must be true in the end: `input = stored + exact duplicates + conflicts + rejected`, contents and all.

Receipts are judged when they come, because they cannot be changed later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.faults.inputs import Record, Source
from stock_pipeline_tests.faults.ledger import (
    CORRECTIONS,
    HISTORY,
    PRICES,
    REJECTS,
    REVISIONS,
    SNAPSHOT,
    Ledger,
    Row,
    knows,
    matches,
    of_ingest,
    price_values,
    shown_values,
    tick_values,
)
from stock_pipeline_tests.support import law

Told = tuple[int, str, bool]
"""A record of rejects: its line, its reason, and whether the row is stored all the same, without a value."""


def judge_receipt(ledger: Ledger, receipt: Receipt, now: datetime, claimed: int | None, *, once: bool) -> None:
    """A receipt says what the source has and what the tables got from just this ingest.

    `claimed` is what the receipts of this ingest say was inserted or updated of the source, in all of its versions;
    None if the ingest was stopped, and of what it stored last there is no receipt yet.
    `once` says that stored values never give way in this schedule, so that conflicts can be told, too.
    """
    if not receipt.etag:
        if receipt.source in ledger.sources:
            ledger.problem(f"{receipt.source} is staged, and its receipt says that it does not exist")
        return
    source = ledger.sources.get(receipt.source, {}).get(receipt.etag)
    if source is None:
        ledger.problem(f"the receipt of {receipt.source} names an ETag that it never had")
        return
    said: tuple[object, ...] = (receipt.rows, receipt.skipped, receipt.rejected, receipt.nulled, bool(receipt.refused))
    records = source.records or ()
    rejected = Counter(record.reason for record in records if record.reason)
    nulled = Counter(record.left_out for record in records if record.left_out)
    skipped = sum(record.skipped for record in records)
    true = (len(records), skipped, dict(rejected), dict(nulled), source.records is None)
    if said != true:
        ledger.problem(f"the receipt of {receipt.source} says {said}, and {true} is true")
    written, _ = ledger.written(now, receipt.table == PRICE_BY_DATE.name, receipt.source)
    if once and claimed is not None and claimed < written:
        ledger.problem(f"the receipt of {receipt.source} says {claimed} inserted or updated, {written} were written")
    if sum(receipt.partitions.values()) != len(source.good):
        ledger.problem(f"the receipt of {receipt.source} counts {receipt.partitions} for {len(source.good)} rows")
    disputed = sum(_stored_otherwise(ledger, record) for record in source.good)
    if once and receipt.conflicts != disputed:
        ledger.problem(f"the receipt of {receipt.source} says {receipt.conflicts} conflicts, and {disputed} is true")


def judge_ingest(ledger: Ledger, receipts: Iterable[Receipt], now: datetime, *, once: bool) -> None:
    """The receipts of one ingest count as inserted what was new in the tables by it, one for each row."""
    receipts = list(receipts)
    prices = any(receipt.table == PRICE_BY_DATE.name for receipt in receipts)
    inserted, (_, new) = sum(receipt.inserted for receipt in receipts), ledger.written(now, prices)
    most = sum(
        count
        for (moment, key), count in ledger.new.items()
        if of_ingest(moment, now) and key.startswith(PRICES) == prices
    )
    if inserted < new or (once and inserted > most):
        ledger.problem(f"the receipts of an ingest say {inserted} inserted, and {new} rows were new")


def judge_tables(ledger: Ledger, *, once: bool) -> None:
    """The tables hold exactly what was sent, and every other record is accounted for."""
    _judge_keys(ledger)
    if not ledger.restored:  # a restore takes what was known with it
        _judge_past(ledger)
    for versions in ledger.sources.values():
        _judge_rejects(ledger, versions, once)
    _judge_snapshot(ledger)
    for key, etag in sorted(ledger.notified - ledger.told):
        ledger.problem(f"{key} was acknowledged, and no receipt of its version {etag} is in the lineage queue")


def _judge_past(ledger: Ledger) -> None:
    """At each time the tables tell the bars that were stored then, by the loading times of what was committed: when a
    version begins, and right before."""
    begins = {row["etl_loading_ts"] for versions in ledger.bars.values() for row in versions}
    for at in sorted(begins | {at - timedelta(microseconds=1) for at in begins}):
        known = {
            name: [row for row in versions if row["etl_loading_ts"] <= at] for name, versions in ledger.bars.items()
        }
        true = {name: price_values(versions[-1]) for name, versions in known.items() if versions}
        if (told := ledger.as_of(at)) != true:
            wrong = {name: (told.get(name), true.get(name)) for name in told.keys() | true.keys()}
            wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}
            ledger.problem(f"as of {at} the tables tell other bars than were stored (told, true): {wrong}")


def rejected_rows(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """What each record of rejects says, but for its words: in these a conflict tells what it meets, which may know more
    by then."""
    return {
        key: [(row["line"], row["reason"], row["raw"]) for row in rows]
        for key, rows in ledger.tables.items()
        if key.startswith(REJECTS)
    }


def _judge_keys(ledger: Ledger) -> None:
    for prefix, key_of, values_of in ((PRICES, _daily_key, price_values), (HISTORY, _tick_key, tick_values)):
        rows = [(key_of(row), values_of(row)) for row in ledger.rows(prefix)]
        twice = [key for key, count in Counter(key for key, _ in rows).items() if count > 1]
        for key in twice:
            ledger.problem(f"{prefix}: {key} is stored more than once")
        stored = {key for key, _ in rows}
        by_place = Counter((row["source"], values_of(row)) for row in ledger.rows(prefix))
        for version, record in [(of, r) for of in _versions(ledger, prefix) for r in of.good]:
            times = by_place[version.key, record.values or ()]
            if record.key is None and times != 1:
                ledger.problem(f"{prefix}: {record.text} of {version.key} is stored {times} times, not once")
            elif record.key is not None and record.key not in stored:
                ledger.problem(f"{prefix}: {record.text} is not stored, nor anything else under its key")


def _judge_rejects(ledger: Ledger, versions: dict[str, Source], once: bool) -> None:
    """The rejected records of each version of a source are its own, exactly."""
    for etag, version in versions.items():
        recorded = [r for r in ledger.rows(REJECTS) if (r["source"], r["etag"]) == (version.key, etag)]
        standing = Counter((r["line"], r["reason"], r["stored"]) for r in recorded)
        _judge_rivals(ledger, version, recorded)
        if not ledger.restored and version.key not in ledger.broken_off:  # docs/reliability.md: what may be
            judge_conflicts(ledger, etag, version)
        conflicts = {line for line, reason, _ in standing if reason == "conflict"}
        exact = once and not ledger.restored  # a restore may let another source be the first
        expected = _expected(ledger, version) if exact else _records_of(version, conflicts)
        if standing != expected:
            ledger.problem(f"{version.key} as {etag}: {dict(standing)} is on record, not {dict(expected)}")
        for record in version.good if not once and not ledger.restored else ():
            known = standing[record.line, "conflict", False] or _replaced(ledger, record)
            if _stored_otherwise(ledger, record) and not known:
                ledger.problem(f"{version.key}: {record.text} is neither stored nor on record")


def judge_conflicts(ledger: Ledger, etag: str, version: Source) -> None:
    """No record says that a row of a restatement met other values, if it is what is stored."""
    if version.key not in ledger.restated:
        return
    recorded = [r for r in ledger.rows(REJECTS) if (r["source"], r["etag"]) == (version.key, etag)]
    own = {_daily_key(row): row for row in ledger.rows(PRICES) if row["source"] == version.key}
    lines = {row["line"] for row in recorded if row["reason"] == "conflict"}
    for record in version.good:
        row = own.get(record.key or ())
        if record.line in lines and row and matches(record, record.key or (), price_values(row)):
            ledger.problem(f"{version.key}: line {record.line} is on record as a conflict, and is stored from there")


def _judge_rivals(ledger: Ledger, version: Source, recorded: list[Row]) -> None:
    """The record of a line that others contest names one of them."""
    for row in recorded:
        named = re.match(r"line (\d+) ", row["detail"]) if row["reason"] == "ambiguous" else None
        rivals = {rival for r in version.records or () if r.line == row["line"] for rival in r.rivals}
        if row["reason"] == "ambiguous" and (named is None or int(named[1]) not in rivals):
            ledger.problem(f"{row['source']}: line {row['line']} is contested by {rivals}, and told: {row['detail']}")


def _expected(ledger: Ledger, version: Source) -> Counter[Told]:
    return _records_of(version, {r.line for r in version.good if _stored_otherwise(ledger, r)})


def _records_of(version: Source, conflicts: set[int]) -> Counter[Told]:
    """What is to be on record of a version of which some lines met other values: one record a line at most."""
    told = [(line, reason, False) for line, reason in version.rejected]
    told += [(line, "conflict", False) for line in conflicts]
    return Counter(told + [(line, reason, True) for line, reason in version.incomplete if line not in conflicts])


def _judge_snapshot(ledger: Ledger) -> None:
    """The law: the snapshot is the greatest of the ticks of history that may set a price and are not taken back."""
    greatest = law.snapshot(ledger.rows(HISTORY), ledger.rows(CORRECTIONS))
    shown = {row["symbol"]: row for row in ledger.rows(SNAPSHOT)}
    for symbol in sorted(shown.keys() | greatest.keys()):
        here, there = shown.get(symbol), greatest.get(symbol)
        if here is None or there is None or shown_values(here) != shown_values(there):
            ledger.problem(f"the snapshot shows {here}, and {there} is the latest")


def _versions(ledger: Ledger, prefix: str) -> Iterator[Source]:
    staged = "daily_prices/" if prefix == PRICES else "stock_stream/"
    for key, versions in ledger.sources.items():
        if key.startswith(staged):
            yield from versions.values()


def _stored_otherwise(ledger: Ledger, record: Record) -> bool:
    """Whether other values are stored under a record's key."""
    if record.key is None:
        return False
    if isinstance(record.key[1], str):
        rows, key_of, values_of = ledger.rows(HISTORY), _tick_key, tick_values
    else:
        rows, key_of, values_of = ledger.rows(PRICES), _daily_key, price_values
    return any(key_of(row) == record.key and not matches(record, record.key, values_of(row)) for row in rows)


def _replaced(ledger: Ledger, record: Record) -> bool:
    """Whether a row that had all of a record's values gave way, and is on record."""
    return any(
        _daily_key(row) == record.key and record.values and knows(price_values(row), record.values)
        for row in ledger.rows(REVISIONS)
    )


def _daily_key(row: Row) -> tuple[object, ...]:
    return row["symbol"], row["date"]


def _tick_key(row: Row) -> tuple[object, ...]:
    return row["symbol"], row["event_id"]
