"""Cancelled means cancelled: a run that a person has cancelled does not end as a success.

Dagster cancels a run by an exception in its main thread. Python drops an exception that is raised while it collects an
object, and so the run would go on and succeed. So a run also asks at each edge of a commit whether it was cancelled.
What is stored by then stays stored.
"""

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError  # Dagster ends such a run as cancelled

CANCELLED = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})


def stop_if_cancelled() -> None:
    """End this run here if a person has cancelled it. Does nothing outside a run."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return
    if was_cancelled(context.instance, context.run_id):
        raise DagsterExecutionInterruptedError


def was_cancelled(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a person has cancelled a run, or is just doing so."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in CANCELLED
