"""Runs one statement on DuckDB within limits of time and memory, so that a person can stop it.

The statement runs on a thread of its own. The calling thread waits, and hears Ctrl-C (or a notebook's stop button)
while DuckDB works. DuckDB itself would not let Python see it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from stock_pipeline.errors import QueryError
from stock_pipeline.settings import MIB, Settings, variable

_BATCH = 100_000  # rows
_POLL = 1.0  # seconds; how exact the limit of time is


@dataclass(frozen=True)
class Limits:
    """How long a statement may run, and how much memory DuckDB and the result may each take."""

    seconds: float
    memory_mb: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that are set. Memory that is not set is half of the machine's."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
        return cls(settings.sql_seconds, settings.sql_memory_mb or machine // 2)


def rows_of(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    parameters: Sequence[Any],
    limits: Limits,
    stop: Callable[[], None],
) -> pa.Table:
    """The rows of a statement. `stop` ends what its scans wait for, when it takes too long or a person stops it.

    Raises QueryError when it takes more time or memory than the limits, or gives no rows; KeyboardInterrupt when a
    person stops it; the errors of DuckDB and Arrow.
    """
    until = time.monotonic() + limits.seconds
    with ThreadPoolExecutor(1, "sql") as thread:
        work = thread.submit(_collected, connection, statement, parameters, limits)
        try:
            while not wait([work], min(_POLL, max(until - time.monotonic(), 0.01))).done:
                if time.monotonic() > until:
                    stop()
                    connection.interrupt()
                    wait([work], _POLL)
        except BaseException:
            stop()
            connection.interrupt()
            raise
    try:
        return work.result()
    except duckdb.OutOfMemoryException as error:
        raise QueryError(
            f"the statement needs more than {limits.memory_mb:,} MiB of memory; read fewer days, symbols or columns, "
            f"or set {variable('sql_memory_mb')}"
        ) from error
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
        if time.monotonic() > until:
            raise QueryError(
                f"the statement took more than {limits.seconds:g} s; read fewer days, symbols or columns, or set "
                f"{variable('sql_seconds')}"
            ) from error
        raise


def _collected(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: Sequence[Any], limits: Limits
) -> pa.Table:
    result = connection.sql(statement, params=list(parameters) or None)
    if result is None:
        raise QueryError("the statement gave no rows")
    reader = result.to_arrow_reader(_BATCH)
    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > limits.memory_mb * MIB:
            raise QueryError(
                f"the result has more than {limits.memory_mb:,} MiB; aggregate, name fewer columns, or add a LIMIT "
                f"(or set {variable('sql_memory_mb')})"
            )
    return pa.Table.from_batches(batches, reader.schema)
