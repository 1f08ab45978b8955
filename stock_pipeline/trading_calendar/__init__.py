"""The sessions of the exchange (XNYS), 1990 to 2049: real dates, not simulated ones."""
