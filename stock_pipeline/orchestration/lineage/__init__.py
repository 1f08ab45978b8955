"""Events of the assets for what Dagster's asset runs did not write: the Lambda functions' work, and reconcile.

events      receipts → materializations of raw and clean partitions, as the assets' own runs show them
messages    reads receipts from the messages of the lineage queue, and knows which to acknowledge. No Dagster here
sensor      lambda_receipts: turns the receipts in the queue into events
cancelled   what a person has cancelled, which reconcile leaves alone
reconcile   the job that ingests what no table has seen, and its schedule
"""
