"""Files of daily prices → rows. Empty of imports: who reads ticks need not import this."""
