#!/bin/bash
# Counts the parts of Dagster that answer, starts the first one again that does not, and tells CloudWatch.
alive=0
for part in code webserver daemon; do
  if ! /opt/venv/bin/python -m stock_pipeline.local.dev.alive "$part"; then
    systemctl restart "dagster-$part"
    break # those after it are asked through it
  fi
  alive=$((alive + 1))
done
# A volume that was made larger shows it here; otherwise this does nothing.
resize2fs "$(findmnt -no SOURCE /var/lib/dagster)" 2>/dev/null
used=$(df --output=pcent /var/lib/dagster | tr -dc 0-9)
aws cloudwatch put-metric-data --namespace StockPipeline --metric-data \
  "MetricName=DagsterPartsAlive,Value=$alive,Dimensions=[{Name=stack,Value=$DAGSTER_STACK}]" \
  "MetricName=DagsterDiskUsedPercent,Value=$used,Unit=Percent,Dimensions=[{Name=stack,Value=$DAGSTER_STACK}]"
