"""Once a day has come to rest and nine in ten of its traces are reviewed, land them and load them into DuckDB."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_langsmith.operators import LangSmithExportOperator
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
        "database": Param("/tmp/lake/langsmith.duckdb", type="string", description="DuckDB file"),  # noqa: S108
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

    @task
    def load(exported: dict[str, Any], params: dict[str, Any] | None = None) -> int:
        """Merge the day's traces into a table, and count what is there."""
        import duckdb  # noqa: PLC0415  # the worker's, not the DAG processor's
        import pyarrow.parquet as pq  # noqa: PLC0415

        from airflow_langsmith.manifest import read_manifest  # noqa: PLC0415

        folder = ObjectStoragePath(exported["manifest"]).parent
        with duckdb.connect((params or {})["database"]) as database:
            for file in read_manifest(exported).files:
                with (folder / file.name).open("rb") as part:  # type: ignore[no-untyped-call]  # Airflow's own is
                    database.register("landed", pq.read_table(part))
                database.execute("create table if not exists traces as from landed limit 0")
                database.execute(
                    "merge into traces using landed on traces.trace_id = landed.trace_id "
                    "when matched then update when not matched then insert"
                )
            (count,) = database.execute("select count(*) from traces").fetchone() or (0,)
        return int(count)

    settled >> reviewed >> export
    load(export.output)  # type: ignore[arg-type]  # stands for what it will be
