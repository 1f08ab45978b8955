"""The staging bucket: the keys of raw objects, and reading them with bounded memory."""
