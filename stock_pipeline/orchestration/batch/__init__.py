"""The batch path in Dagster: raw daily prices and vendors' uploads into `price_by_date`."""
