"""Load the last days' runs, new feedback on older runs, and yesterday's traces into tables that have each row once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_langsmith.operators import LangSmithExportOperator, LangSmithLoadOperator
from airflow_langsmith.windows import split, trailing

TABLES = "duckdb:///tmp/lake/tables.duckdb?table=langsmith"

with DAG(
    dag_id="langsmith_load_tables",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001  # read in the DAG's time zone, UTC
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    params={
        "project": Param("shop-assistant", type="string", description="Name or id of the LangSmith project"),
        "destination": Param("file:///tmp/lake/langsmith", type="string", description="Where partitions are written"),
        "runs_table": Param(f"{TABLES}.runs", type="string", description="See docs/reference/tables.md"),
        "traces_table": Param(f"{TABLES}.traces", type="string", description="Of any kind, like runs_table"),
    },
    doc_md=__doc__,
    tags=["langsmith"],
):

    @task
    def last_days(**context: Any) -> list[dict[str, str]]:
        """Return the last three days: runs arrive up to a day late, and end and get feedback later."""
        return trailing(context, days=3)

    days = LangSmithExportOperator.partial(
        task_id="export_days",
        project="{{ params.project }}",
        destination="{{ params.destination }}",
        max_active_tis_per_dagrun=1,
    ).expand_kwargs(last_days())
    load_days = LangSmithLoadOperator(task_id="load_days", exported=days.output, table="{{ params.runs_table }}")

    # Runs of the last 30 days that got feedback yesterday are merged over their rows, so they come after the days.
    judged = LangSmithExportOperator(
        task_id="export_judged",
        project="{{ params.project }}",
        destination="{{ params.destination }}",
        refresh="feedback",
    )
    load_judged = LangSmithLoadOperator(task_id="load_judged", exported=judged.output, table="{{ params.runs_table }}")
    load_days >> load_judged

    @task
    def parts_of_the_day(**context: Any) -> list[dict[str, str]]:
        """Return the quarters of the day: each is exported with its own retries, and all are loaded together."""
        return split(context, every="6h")

    traces = LangSmithExportOperator.partial(
        task_id="export_traces",
        project="{{ params.project }}",
        destination="{{ params.destination }}",
        view="traces",
        max_active_tis_per_dagrun=1,
    ).expand_kwargs(parts_of_the_day())
    LangSmithLoadOperator(task_id="load_traces", exported=traces.output, table="{{ params.traces_table }}")
