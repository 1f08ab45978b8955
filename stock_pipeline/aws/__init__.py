"""AWS, each service in a module of its own: S3, SQS, Kinesis, and what S3 and the functions say through them.

Here, in `query`, `deploy` and `local`, and nowhere else, boto3 is imported.
"""
