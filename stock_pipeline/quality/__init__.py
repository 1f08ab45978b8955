"""What the checks look for in the stored tables, without Dagster, which shows what they find."""
