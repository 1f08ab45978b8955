"""What a person is told of an error: on stderr, or by the page of the board."""

from __future__ import annotations

from stock_pipeline.credentials import remedy_of
from stock_pipeline.errors import StockPipelineError, StoreUnavailable


def told(error: Exception) -> str:
    """The message for a person, with the remedy where one is known."""
    if isinstance(error, StoreUnavailable):
        return f"{error}; try again, and see `stock-pipeline doctor`"
    if isinstance(error, StockPipelineError):
        return str(error)
    if type(error).__module__.startswith("botocore"):
        return f"AWS: {error}; {remedy_of(error)}"
    if isinstance(error, OSError):
        return str(error)
    return f"{type(error).__name__}: {error} (this should not happen; --debug before the command shows where)"
