"""`stock-pipeline demo`: the two paths fed and shown, step by step."""
