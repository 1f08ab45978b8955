"""Objects of ticks → rows."""
