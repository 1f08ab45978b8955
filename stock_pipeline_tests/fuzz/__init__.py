"""A fuzzer of what people and vendors drop: bytes made from the corpus, judged by what must hold of any bytes.

`mutations` makes the cases, `laws` says what must hold, `__main__` runs them by number and seed:

    make fuzz CASES=1000000 SEED=1

A case is made by nothing but its seed and number, so a failure can be run again; what failed is written to a file, made
as small as it goes.
"""
