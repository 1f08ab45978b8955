"""The only code that touches S3: the object store, partitions under compare-and-swap, rejected records."""
