"""What is measured: one module a subject, each with `run(bench) -> list[Table]`."""
