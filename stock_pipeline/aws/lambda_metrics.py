"""Prints the metrics of a Lambda function when an invocation ends; CloudWatch reads them from the log."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from aws_lambda_powertools import Metrics

P = ParamSpec("P")
R = TypeVar("R")


def published(metrics: Metrics) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a handler, so that its counts are published at the end, also when it raises.

    An invocation without counts (for example, its event was refused) publishes nothing, and Lambda's own metric Errors
    counts it. The decorator of Powertools would log a warning each time.
    """

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        @wraps(handler)
        def handle(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return handler(*args, **kwargs)
            finally:
                if metrics.provider.metric_set:
                    metrics.flush_metrics()

        return handle

    return decorate
