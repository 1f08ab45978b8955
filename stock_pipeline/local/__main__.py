"""`python -m stock_pipeline.local` installs the local AWS, unless it is installed, and says so."""

import sys

from stock_pipeline.errors import ExtraMissing, LocalAwsError
from stock_pipeline.local import ensure_environment

try:
    ensure_environment(on_progress=lambda sentence: print(sentence, flush=True))  # noqa: T201
except (ExtraMissing, LocalAwsError) as error:
    sys.exit(str(error))
