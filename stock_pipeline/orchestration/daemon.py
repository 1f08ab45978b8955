"""Dagster's daemon as `stock-pipeline dev` runs it: it mends and purges its own history.

    python -m stock_pipeline.orchestration.daemon run -w workspace.yaml

It takes the options of `dagster-daemon`.
"""

import logging
import threading
import time

import dagster as dg
from dagster._daemon.cli import main

from stock_pipeline.orchestration.history import forget_future_ticks, purge

_FIRST, _EVERY = 120.0, 3600.0  # seconds

log = logging.getLogger("dagster.daemon")


def keep_purging() -> None:
    """Purge the history from time to time, as long as the process lives."""
    time.sleep(_FIRST)
    while True:
        try:
            with dg.DagsterInstance.get() as instance:
                log.info("purged %s", purge(instance))
        except Exception:
            log.exception("the history could not be purged; the next try is in %.0f minutes", _EVERY / 60)
        time.sleep(_EVERY)


if __name__ == "__main__":
    with dg.DagsterInstance.get() as own:
        if ahead := forget_future_ticks(own):
            log.warning("the clock was ahead when these last ticked; they go on now: %s", ", ".join(ahead))
    threading.Thread(target=keep_purging, daemon=True).start()
    main()
