"""Runs a Python module, and ends its process group when the process that started it is gone.

    python -P tied.py LIFELINE MODULE [ARGUMENT …]

LIFELINE is the reading end of a pipe that the parent keeps open: end of file means that the parent is gone, however it
ended. This file runs as a program of its own and imports nothing of this package.
"""

import os
import runpy
import signal
import sys
import threading
import time

PATIENCE = 10.0  # seconds for an orderly end


def _end_with(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(PATIENCE)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
