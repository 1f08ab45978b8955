"""What `stock-pipeline dev` runs: a local AWS, and Dagster's UI, daemon and code server on it.

    session     starts everything, finds the `dev` that runs, keeps watch, stops
    serve       the same processes for a Dagster that stays, in AWS
    instance_file  the file dagster.yaml of both
    services    how each process of Dagster is started
    health      whether Dagster works, judged by what it does
    processes   one child process: how it starts, its log, how it ends
    tied        the program that a child runs in, so that it never outlives its parent
    alerts      the file of the alerts, whose new lines `dev` shows
    dagster     questions to Dagster, over its GraphQL API

No module here imports Dagster: it runs in processes of its own.
"""
