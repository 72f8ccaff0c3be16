"""Look at each of yesterday's failed runs in a task of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_langsmith.filters import and_, failed, neq
from airflow_langsmith.operators import LangSmithListRunsOperator, LangSmithReadRunOperator

with DAG(
    dag_id="langsmith_failed_runs",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001  # read in the DAG's time zone, UTC
    catchup=False,
    params={"project": Param("shop-assistant", type="string"), "but_not": Param("healthcheck", type="string")},
    doc_md=__doc__,
    tags=["langsmith"],
):
    failures = LangSmithListRunsOperator(
        task_id="list_failures",
        project="{{ params.project }}",
        is_root=True,
        filter=and_(failed(), neq("name", "{{ params.but_not }}")),
        limit=100,
    )

    # Sixteen at once would use up LangSmith's budget for single reads; three take a little longer and do not.
    traces = LangSmithReadRunOperator.partial(
        task_id="read_trace",
        project="{{ params.project }}",
        load_children=True,
        columns=["run_id", "name", "run_type", "error"],
        max_active_tis_per_dagrun=3,
        map_index_template="{{ task.run_id }}",
    ).expand(run_id=failures.output.map(lambda run: run["run_id"]))

    @task
    def culprits(trees: list[dict[str, Any]]) -> dict[str, int]:
        """Count which runs failed first, below the roots that did."""
        counts: dict[str, int] = {}
        for trace in trees:
            name = next((run["name"] for run in reversed(trace["child_runs"]) if run["error"]), trace["name"])
            counts[name] = counts.get(name, 0) + 1
        return counts

    culprits(traces.output)  # type: ignore[arg-type]  # stands for what it will be
