"""Faults, by the thousand and by seed: a machine checks that the design keeps its promise.

The pipeline's own code runs (the Lambda functions' handlers, the ingest, the merge, the lake), unchanged, against a
bucket in memory and a queue in memory. Every call of the store is a point at which the simulator may switch to another
worker, answer with an error, lose the reply, or kill the worker. One seeded random number generator decides which, so a
seed replays a schedule exactly.

    hub.py         tasks that take turns: who runs next is the seed's choice, time is simulated
    wire.py        the store as a worker sees it: requests that meet faults, sent again as S3's client does
    http.py        the same requests from the real S3Store: botocore's replies, errors and its own sending again
    queues.py      SQS and Lambda's event queue: duplicates, disorder, redelivery, dead letters
    lineage.py     the queue of receipts: what is sent there must be true
    inputs.py      objects of daily prices and of ticks whose every record has a known fate
    world.py       buckets, queues, workers and readers of one schedule, and what they did
    ledger.py      what every commit did to the tables, judged as it happens by a model in plain Python
    verdict.py     what must be true of tables and receipts once a schedule is over
    cast.py        who acts in a seed's schedule: actors take turns, they are not drawn
    schedules.py   a seed's schedule: its input, its workers, its rate of faults
    matrix.py      every store call of an ingest × every kind of fault, and pairs of them
    mutants.py     planted bugs, each of which some schedule must find
    __main__.py    the command behind `make faults`
"""
