"""What the Dagster UI shows besides names and descriptions: metadata, charts, tables, columns and their origin."""
