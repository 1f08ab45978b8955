"""The streaming path in Dagster: raw objects of ticks into `stream_prices_history` and `latest_prices`.

queue       the SQS queue of arrivals: receive, keep hidden, acknowledge. No Dagster here
arrivals    what a run does with a group of messages. No Dagster here
snapshot    the latest prices out of history: recompute, compare, rebuild. No Dagster here
history     a span of days of history: its partitions, its conditions in SQL, its raw objects. No Dagster here
assets      raw_stream_ticks → stream_prices_history → latest_prices
reports     what a run shows of the days it touched, and of the snapshot
checks      of history, the snapshot and the dead-letter queue
jobs        ingest_ticks, refresh_latest_prices, check_stream and its schedule
sensor      asks for a run of ingest_ticks when messages wait
"""
