"""Land yesterday's runs of a LangSmith project in object storage, every morning."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_langsmith.operators import LangSmithExportOperator

with DAG(
    dag_id="langsmith_export_runs",
    # A plain "@daily" has intervals of zero length in Airflow 3; this timetable's are the days themselves.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001  # read in the DAG's time zone, UTC
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    params={
        "project": Param("shop-assistant", type="string", description="Name or id of the LangSmith project"),
        "destination": Param("file:///tmp/lake/langsmith", type="string", description="Where partitions are written"),
    },
    doc_md=__doc__,
    tags=["langsmith"],
):
    LangSmithExportOperator(
        task_id="export_runs",
        project="{{ params.project }}",
        destination="{{ params.destination }}",
    )
