"""A local AWS beside a page of the docs, in which nothing takes what arrives but the commands themselves; until Ctrl-C.

python -m stock_pipeline_tests.docs.aws
"""

from __future__ import annotations

import contextlib
import signal

from stock_pipeline.local import local_aws

if __name__ == "__main__":
    with local_aws(processor="dagster"), contextlib.suppress(KeyboardInterrupt):
        print("ready", flush=True)
        signal.pause()
