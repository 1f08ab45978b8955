"""What Dagster's own asset runs did not write, as events of its assets: lineage of the Lambda functions, and reconcile.

events      receipts → materializations of raw and clean partitions, as the assets' own runs show them
messages    receipts out of the messages of the lineage queue, and which messages may be acknowledged. No Dagster here
sensor      lambda_receipts: from the queue into events
reconcile   the job that ingests what no table has seen, and its schedule
"""
