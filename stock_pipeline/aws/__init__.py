"""AWS services, one module each: S3, SQS, Kinesis, the notifications of S3 and the receipts of the functions.

Only this package, `query`, `deploy` and `local` import boto3.
"""
