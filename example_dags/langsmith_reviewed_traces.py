"""Once a day has come to rest and nine in ten of its traces are reviewed, land them and load them into DuckDB."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_langsmith.operators import LangSmithExportOperator, LangSmithLoadOperator
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor

with DAG(
    dag_id="langsmith_reviewed_traces",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001  # read in the DAG's time zone, UTC
    catchup=False,
    max_active_runs=7,  # days may be waiting for their reviews side by side
    params={
        "project": Param("shop-assistant", type="string", description="Name or id of the LangSmith project"),
        "destination": Param("file:///tmp/lake/langsmith", type="string", description="Where partitions are written"),
        "table": Param(
            "duckdb:///tmp/lake/tables.duckdb?table=langsmith.traces",
            type="string",
            description="See docs/reference/tables.md",
        ),
        "quiet_for": Param("10m", type="string"),
        "pending_timeout": Param("1d", type="string", description="When runs that have not ended are given up"),
        "reviewed": Param("coverage(user_score) >= 0.9", type="string", description="See docs/reference/conditions.md"),
        "alarm": Param("share(user_score, 0) > 0.9", type="string", description="Fail at once when this holds"),
    },
    doc_md=__doc__,
    tags=["langsmith"],
):
    settled = LangSmithSettledSensor(
        task_id="settled",
        project="{{ params.project }}",
        quiet_for="{{ params.quiet_for }}",
        pending_timeout="{{ params.pending_timeout }}",
        deferrable=True,
        poke_interval=timedelta(seconds=10),
        timeout=timedelta(hours=12),
    )
    reviewed = LangSmithFeedbackSensor(
        task_id="reviewed",
        project="{{ params.project }}",
        is_root=True,
        condition="{{ params.reviewed }}",
        fail_when="{{ params.alarm }}",
        deferrable=True,
        poke_interval=timedelta(seconds=5),
        timeout=timedelta(days=7),
    )
    export = LangSmithExportOperator(
        task_id="export",
        project="{{ params.project }}",
        view="traces",
        destination="{{ params.destination }}",
    )

    load = LangSmithLoadOperator(task_id="load", exported=export.output, table="{{ params.table }}")

    settled >> reviewed >> export >> load
