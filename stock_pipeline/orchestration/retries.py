"""Which errors are worth a retry, and how Dagster shows the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from stock_pipeline.errors import MergeContention, StockPipelineError, StoreUnavailable

RETRIES = 3
WAIT = 5.0  # seconds


@contextmanager
def as_dagster_failures(*, retries: int = RETRIES) -> Iterator[None]:
    """Run the work of an asset so that its errors reach the UI as what they are.

    A store that does not answer and a lost race are tried again, if there are to be retries. Any other error of this
    package would come back the same, so it fails the run at once, with its message (which names the remedy) in the
    place of a traceback.
    """
    try:
        yield
    except StockPipelineError as error:
        if retries and isinstance(error, (StoreUnavailable, MergeContention)):
            raise dg.RetryRequested(max_retries=retries, seconds_to_wait=WAIT) from error
        raise dg.Failure(str(error), allow_retries=False) from error
