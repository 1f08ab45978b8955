"""The programs that are measured. Each is a separate process: arguments in, files out, and JSON as the last line of its
output.

The programs of one workload do the same work on the same input and leave the same rows; `benchmarks.results` checks
this.
"""
