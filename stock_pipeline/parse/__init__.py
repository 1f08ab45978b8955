"""Raw bytes → rows, by name and with nothing guessed: files, encodings, CSV dialects, vendors' headers, dates, numbers.

Whether a row is acceptable is not decided here but in `clean`. Nothing in this package reads or writes anything.
"""

from __future__ import annotations

from stock_pipeline.parse.daily import DailyRows, parse_daily_prices

__all__ = ["DailyRows", "parse_daily_prices"]
