"""The programs that are measured, each a process of its own: arguments in, files out, one JSON line as its last word.

Those of one workload do the same work on the same input and leave the same rows, which `benchmarks.results` checks.
"""
