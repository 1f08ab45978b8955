"""Files of daily prices → rows. This file imports nothing, so that readers of ticks do not load it."""
