"""Stock Pipeline: daily prices in batch, ticks as a stream, both ending as clean Parquet.

Empty of imports on purpose: Lambdas import this package and must not pay for what they do not use.
"""

__version__ = "0.1.0"
