"""Let LangSmith write yesterday's runs into your bucket, publish their rows, and load them into DuckDB."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_langsmith.operators import LangSmithBulkExportOperator, LangSmithLoadOperator

with DAG(
    dag_id="langsmith_bulk_export",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001  # read in the DAG's time zone, UTC
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    params={
        "project": Param("shop-assistant", type="string", description="Name or id of the LangSmith project"),
        "bulk_destination_id": Param("", type="string", description="Where LangSmith writes: the id of a destination"),
        "files_at": Param("file:///tmp/lake/bulk", type="string", description="The root of that destination's bucket"),
        "destination": Param("file:///tmp/lake/langsmith", type="string", description="Where partitions are written"),
        "poll_interval": Param("30s", type="string", description="The time between two looks at the export"),
        "table": Param(
            "duckdb:///tmp/lake/tables.duckdb?table=langsmith.runs",
            type="string",
            description="See docs/reference/tables.md",
        ),
    },
    doc_md=__doc__,
    tags=["langsmith"],
):
    runs = LangSmithBulkExportOperator(
        task_id="export_runs",
        project="{{ params.project }}",
        bulk_destination_id="{{ params.bulk_destination_id }}",
        files_at="{{ params.files_at }}",
        destination="{{ params.destination }}",
        deferrable=True,
        poll_interval="{{ params.poll_interval }}",
    )
    LangSmithLoadOperator(task_id="load", exported=runs.output, table="{{ params.table }}")
