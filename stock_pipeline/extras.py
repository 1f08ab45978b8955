"""The optional parts of the package, and the error when one is used that is not installed.

The base installs what `read_prices`, the command line and the code of the Lambda functions need. The extra `dagster`
adds the assets, sensors and the UI; `local` adds the local AWS and `stock-pipeline dev`, and Dagster with it; `serve`
adds `stock-pipeline serve` and lineage out, likewise. `board` adds `stock-pipeline board`, with the library that draws.
"""

from __future__ import annotations

from importlib.util import find_spec

from stock_pipeline.errors import ExtraMissing

__all__ = ["EXTRAS", "require"]

EXTRAS = {
    "board": ("plotly", "starlette", "uvicorn"),
    "local": ("dagster", "dagster_aws", "dagster_webserver", "packaging", "psutil", "yaml"),
    "serve": ("dagster", "dagster_aws", "dagster_postgres", "dagster_webserver", "openlineage", "psutil", "yaml"),
}
"""The packages that each extra adds to the base, by their import names."""


def require(extra: str, what: str) -> None:
    """Check that an extra is installed, without importing it. `what` is the feature that needs it.

    Raises ExtraMissing; its message has the command that installs the extra.
    """
    if missing := [name for name in EXTRAS[extra] if find_spec(name) is None]:
        raise ExtraMissing(
            f"{what} needs the extra {extra!r} ({missing[0]} is not installed): pip install 'stock-pipeline[{extra}]'"
        )
