"""`stock-pipeline doctor`: the checks, their results, and how they are printed."""
