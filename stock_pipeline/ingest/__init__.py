"""Raw objects into tables: parse → clean → merge, with a receipt a source.

Dagster's assets, the Lambda functions and the command line call this. Empty of imports: who ingests ticks need not
import the reading of daily prices.
"""
