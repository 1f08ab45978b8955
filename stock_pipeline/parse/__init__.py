"""Raw bytes → rows, by name and with nothing guessed: files, encodings, CSV dialects, vendors' headers, dates, numbers.

Whether a row is acceptable is not decided here but in `clean`. Nothing in this package reads or writes anything.
Empty of imports: who reads ticks need not import the reading of daily prices.
"""
