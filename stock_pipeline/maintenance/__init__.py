"""Repairs of tables that hold data: rebuild a year, replay rejected rows, find lost objects, recompute the snapshot."""
