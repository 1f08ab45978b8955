"""`stock-pipeline demo`: feeds both paths (daily prices and ticks) and shows what happens, step by step."""
