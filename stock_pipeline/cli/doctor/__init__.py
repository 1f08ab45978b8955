"""`stock-pipeline doctor`: what is looked at, what was found, and how it is shown."""
