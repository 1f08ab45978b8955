"""The emulator's own program, in the emulator's own environment.

__main__     what it answers and refuses, how it starts and ends
delivery     how Firehose gathers records into objects
nearer_aws   changes that make the emulator behave more like AWS
roles        checks what the services' roles allow, if IAM is enforced
"""
