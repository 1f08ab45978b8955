"""The entry point of `stock-pipeline` and `python -m stock_pipeline`."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line and run it. Ctrl-C while it loads ends the process without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from stock_pipeline.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
