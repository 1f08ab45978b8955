"""The emulator's own program, in the emulator's own environment.

__main__     what it answers and refuses, how it starts and ends
delivery     how Firehose gathers records into objects
nearer_aws   where the emulator is made to behave more like AWS
roles        what the services' roles must allow, where IAM is enforced
"""
