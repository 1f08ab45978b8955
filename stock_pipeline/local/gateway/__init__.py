"""The emulator's own program, in the emulator's own environment.

__main__     how it starts and ends
access       who may send requests, to it and to the Dagster UI
peers        who is at the other end of a connection
durable      how it keeps objects: on disk before it acknowledges them
files        the two files of an object, written so that a crash leaves the old or the new one
delivery     how Firehose gathers records into objects
nearer_aws   changes that make the emulator behave more like AWS
roles        checks what the services' roles allow, if IAM is enforced
"""
