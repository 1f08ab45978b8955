"""Heavy work as a list of independent tasks: planned once, executed by a loop or by a pool of processes.

A task names a function and a small argument (`tasks`). Its work is that of one partition, and it commits with one
conditional PUT; or it only reads some partitions, and returns what it found. An executor does the tasks of a list, in
any order and in any number of processes (`executors`). What comes out is the same, because nothing that a task does
depends on another task of its list. A journal in the lake lets a second start go on where the first was stopped
(`journal`).

The computations are in `maintenance`. Here is only what divides them and puts them together again. No Lambda function
imports this package.
"""
