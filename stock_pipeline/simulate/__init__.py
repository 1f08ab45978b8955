"""A stock market that does not exist: its daily bars and ticks, reproducible from a seed.

    rng         random numbers addressed by name, so that nothing depends on what else was asked for
    market      the model of the daily bars, as arrays
    daily       the bars as tables and as raw CSV objects in staging
    intraday    each day's price path, which honours the day's bar
    ticks       ticks of a whole day, live ticks, and their JSON lines
    faults      what goes wrong on the way: duplicates, late and malformed lines

Nothing in here uses S3 or Dagster.
"""
