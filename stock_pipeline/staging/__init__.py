"""The staging bucket: how raw objects are called, and how they are read within bounds."""
