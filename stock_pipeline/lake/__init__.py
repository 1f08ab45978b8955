"""The lake: partition objects merged under compare-and-swap, rejected records, and the object store that holds them.

No boto3 here: a store is anything that can get, put under a condition, and list (`object_store`); S3 is `aws.s3`.
"""
