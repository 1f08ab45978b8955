"""Which errors are worth a retry, and how Dagster shows the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from stock_pipeline.errors import MergeContention, StockPipelineError, StoreUnavailable
from stock_pipeline.orchestration.cancellation import stop_if_cancelled

RETRIES = 3
WAIT = 5.0  # seconds


@contextmanager
def as_dagster_failures(*, retries: int = RETRIES) -> Iterator[None]:
    """Run the work of an asset, and turn its errors into retries or failures of Dagster.

    If the store does not answer or other writers won, the run is tried again (unless `retries` is 0). A retry would not
    help with any other error of this package. Such an error fails the run at once, and the UI shows its message, which
    names the remedy, instead of a traceback. If a person has cancelled the run, it ends as cancelled.
    """
    try:
        yield
        stop_if_cancelled()
    except StockPipelineError as error:
        stop_if_cancelled()
        if retries and isinstance(error, (StoreUnavailable, MergeContention)):
            raise dg.RetryRequested(max_retries=retries, seconds_to_wait=WAIT) from error
        raise dg.Failure(str(error), allow_retries=False) from error
