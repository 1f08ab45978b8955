"""The streaming path in Dagster: raw objects of ticks into `stream_prices_history` and `latest_prices`.

assets      raw_stream_ticks → stream_prices_history → latest_prices
reports     the metadata of the days that a run changed, and of the snapshot
checks      checks of history, the snapshot and the dead-letter queue
jobs        ingest_ticks, refresh_latest_prices, check_stream and its schedule
sensor      requests a run of ingest_ticks when messages wait
"""
