"""Raw objects into tables: parse → clean → merge, with a receipt a source.

Dagster's assets, the Lambda functions and the command line call this. This file imports nothing, so that the ingest of
ticks does not load the parser of daily prices.
"""
