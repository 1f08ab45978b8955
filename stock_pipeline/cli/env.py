"""`stock-pipeline env`: the environment variables by which other programs reach the local AWS that runs."""

from __future__ import annotations

import shlex
import sys

from stock_pipeline.errors import LocalAwsError


def env() -> None:
    """Print the variables by which other programs reach the local AWS that runs.

    They hold its address, its key (a new one at each start; it answers nobody
    else) and the settings. Run it while `dev` or another command runs the
    local AWS, and again after the next start.

    Examples:

        eval "$(stock-pipeline env)"
        aws s3 ls "s3://$STOCK_PIPELINE_LAKE_BUCKET/"
    """
    from stock_pipeline.local import running

    aws = running()
    if aws is None:
        raise LocalAwsError("no local AWS runs now; start one with `stock-pipeline dev`")
    for name, value in aws.env.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
