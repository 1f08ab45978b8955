"""The metrics of a Lambda function, printed when an invocation ends, as CloudWatch reads them from its log."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from aws_lambda_powertools import Metrics

P = ParamSpec("P")
R = TypeVar("R")


def published(metrics: Metrics) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a handler so that what it counted is published at its end, also when it raises.

    An invocation that counted nothing (its event was refused, say) publishes nothing. The decorator of Powertools warns
    on each of these; Lambda's own metric Errors counts them.
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
