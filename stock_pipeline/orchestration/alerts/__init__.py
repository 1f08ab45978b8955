"""Alerts: what goes wrong in Dagster is said to a person, once, with a link to its page.

    sensor     the sensor that looks every half minute
    events     what has happened since the last look: failed runs, checks, ticks; late assets
    memory     what a channel was told, kept in Dagster's storage
    delivery   tells a channel what is new, and how often

The channels themselves are in `stock_pipeline.aws.alert_channels`.
"""
