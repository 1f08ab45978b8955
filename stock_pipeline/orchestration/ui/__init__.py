"""What the Dagster UI shows beside names and descriptions: metadata, charts, tables, columns and their origin."""
