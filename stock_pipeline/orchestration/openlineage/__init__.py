"""Lineage out: what Dagster has done, told to a catalog that speaks OpenLineage (Marquez, DataHub and others).

sensor     the sensor that looks every half minute, when OPENLINEAGE_URL is set
history    what has happened in Dagster since the last look, in order
events     a record of Dagster's history as an event of OpenLineage
catalog    sends events by HTTP
"""
