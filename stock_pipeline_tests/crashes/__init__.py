"""Real processes under real faults: killed workers, races, load, and a Dagster that dies (make crash, make load).

model       what the tables must hold, worked out from the input in plain Python
feed        seeded input of both paths, as it is dropped into staging and told to queues
worker      a consumer process: receives, ingests through the functions' own handlers, acknowledges
crew        consumer processes that are killed and replaced
watchers    processes that read the tables all the while
load        millions of ticks by several workers, as a program
gate        a proxy before the local AWS that holds chosen requests, so that a process can be killed within them
daemon      a Dagster daemon on an instance of SQLite or PostgreSQL, to be killed and started again
drops       files and objects of both paths, and whether the tables hold exactly those
"""
