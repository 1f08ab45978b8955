"""Which runs go first in Dagster's queue, and which wait for each other. `dagster.yaml` has the limits.

Runs that bring in arrivals go before those that a person starts, and these before checks that another process asked
for. So a file does not wait behind hundreds of checks.
"""

ARRIVALS_FIRST = {"dagster/priority": "10"}
CHECKS_LAST = {"dagster/priority": "-10"}

ONE_AT_A_TIME = {"stock_pipeline/uploads": "one run at a time"}
"""For runs that read uploads, each of which may take most of a gigabyte of memory."""
