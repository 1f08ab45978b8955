"""What the checks look for in the stored tables. No Dagster here: `orchestration` shows what they find."""
