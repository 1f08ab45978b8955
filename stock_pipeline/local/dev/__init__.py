"""What `stock-pipeline dev` runs: a local AWS, and Dagster's UI, daemon and code server on it.

    session     starting it all, finding the one that runs, keeping watch, stopping
    processes   one child process: tied to its parent, its log, its end
    tied        the program that a child runs in, so that it never outlives its parent
    dagster     what is asked of Dagster, over its GraphQL API

Nothing here imports Dagster: it runs in processes of its own.
"""
