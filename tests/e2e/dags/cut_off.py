"""DAGs that export a long day of the project of the same name, with a retry at once or after a day."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_langsmith.operators import LangSmithExportOperator

DELAYS = {"killed": timedelta(0), "cleared": timedelta(days=1), "marked": timedelta(days=1)}

for name, delay in DELAYS.items():
    with DAG(dag_id=name, schedule=None):
        LangSmithExportOperator(
            task_id="export",
            project=name,
            destination=f"file://{os.environ['AIRFLOW_HOME']}/lake",
            start_time="2026-03-01T00:00:00Z",
            end_time="2026-03-02T00:00:00Z",
            concurrency=1,
            langsmith_conn_id="long",
            retries=1,
            retry_delay=delay,
        )
