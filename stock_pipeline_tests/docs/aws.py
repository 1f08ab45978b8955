"""A local AWS beside a page of the docs, in which the functions take what arrives; until Ctrl-C.

python -m stock_pipeline_tests.docs.aws
"""

from __future__ import annotations

import contextlib
import signal

from stock_pipeline.local import local_aws

if __name__ == "__main__":
    with local_aws(processor="lambda"), contextlib.suppress(KeyboardInterrupt):
        print("ready", flush=True)
        signal.pause()
