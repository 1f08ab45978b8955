"""What the pipeline costs, measured side by side: `make bench`, or `python -m benchmarks --help`.

    measure     whole processes in interleaved rounds: CPU, wall time and peak memory, and ratios pair by pair
    report      the tables as Markdown and JSON
    places      where inputs, environments and results are
    workloads   one module for each subject: the programs, their input, and the results that must be equal
    ways        the programs that are measured, each in its own process: the pipeline's, the floor's, the peers'

Nothing here asserts a time. The runner itself imports nothing heavy, because a child's peak memory starts at its
parent's.
"""
