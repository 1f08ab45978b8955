"""Ticks on their way into the Kinesis stream: simulated as they fall due, or recorded."""
