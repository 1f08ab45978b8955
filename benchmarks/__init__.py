"""What the pipeline costs, measured side by side: `make bench`, or `python -m benchmarks --help`.

    measure     whole processes in interleaved rounds: CPU, wall time and peak memory, and ratios pair by pair
    report      the tables as Markdown and JSON
    places      where inputs, environments and results are
    workloads   one module a subject: what is run on what, and what must come out equal before any time counts
    ways        the programs that are measured, each a process of its own: the pipeline's, the floor's, the peers'

Nothing here asserts a time. The runner itself imports nothing heavy: a child's peak memory begins with its parent's.
"""
