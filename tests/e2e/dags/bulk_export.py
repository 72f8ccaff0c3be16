"""A DAG with a bulk export and the sensor of another one, which wait on the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_langsmith.operators import LangSmithBulkExportOperator
from airflow_langsmith.sensors import LangSmithBulkExportSensor

WAITING: dict[str, Any] = {"langsmith_conn_id": "bulk", "deferrable": True, "retries": 2, "retry_delay": timedelta(0)}

with DAG(dag_id="bulk", schedule=None):
    LangSmithBulkExportOperator(
        task_id="export",
        project="shop",
        start_time=datetime(2026, 3, 1, tzinfo=UTC),
        end_time=datetime(2026, 3, 2, tzinfo=UTC),
        bulk_destination_id="{{ dag_run.conf['destination_id'] }}",
        files_at="file://{{ dag_run.conf['bucket'] }}",
        destination="file://{{ dag_run.conf['lake'] }}",
        poll_interval=0.5,
        **WAITING,
    )
    LangSmithBulkExportSensor(
        task_id="written", bulk_export_id="{{ dag_run.conf['bulk_export_id'] }}", poke_interval=0.5, **WAITING
    )
