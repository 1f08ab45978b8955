"""Raw bytes → rows, without guessing: files, encodings, CSV dialects, vendors' headers, dates, numbers.

`clean`, not this package, decides whether a row is acceptable. Nothing in this package does any I/O. This file imports
nothing, so that readers of ticks do not load the parser of daily prices.
"""
