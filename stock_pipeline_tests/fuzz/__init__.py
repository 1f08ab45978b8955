"""A fuzzer of the files that people and vendors drop: bytes made from the corpus, checked against laws for any bytes.

`mutations` makes the cases, `laws` says what must hold, `__main__` runs them by number and seed:

    make fuzz CASES=1000000 SEED=1

A case depends only on its seed and number, so a failure can be run again. A failing case is written to a file, made as
small as possible.
"""
