"""A DAG of exports and mapped exports. As a script it runs itself, and prints names, states and results."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_langsmith.operators import LangSmithExportOperator, LangSmithListRunsOperator, LangSmithReadRunOperator

with DAG("outputs", schedule=None) as dag:
    window: Any = {
        "destination": f"file://{os.environ['AIRFLOW_HOME']}/lake",
        "start_time": "2026-03-01T00:00:00Z",
        "end_time": "2026-03-02T00:00:00Z",
    }

    @task
    def projects() -> list[str]:
        """Return projects: one looks like a template, and one does not exist."""
        return ["shop", "{{ bar }}", "missing"]

    single: Any = LangSmithExportOperator(task_id="single", project="shop", **window)
    mapped: Any = LangSmithExportOperator.partial(task_id="mapped", view="traces", **window).expand(project=projects())
    user_named = LangSmithExportOperator.partial(
        task_id="user_named", view="threads", map_index_template="mine: {{ task.project }}", **window
    ).expand(project=["shop"])
    listed = LangSmithListRunsOperator(
        task_id="listed", project="shop", start_time=window["start_time"], end_time=window["end_time"]
    )
    read = LangSmithReadRunOperator.partial(task_id="read", project="shop").expand(
        run_id=listed.output.map(lambda run: run["run_id"])
    )

    @task
    def both(manifest: str, whole: dict[str, Any]) -> dict[str, Any]:
        """Return a value of the result of an export, and the whole result."""
        return {"manifest": manifest, "whole": whole}

    @task(trigger_rule="all_done")
    def manifests(uris: Any) -> list[str]:
        """Return a value of the result of each mapped export."""
        return list(uris)

    both(single.output["manifest"], single.output)
    manifests(mapped.output["manifest"])

if __name__ == "__main__":
    run = dag.test(logical_date=datetime(2026, 3, 2, tzinfo=UTC))
    instances = run.get_task_instances()
    result = {
        "names": {f"{ti.task_id} {ti.map_index}": ti.rendered_map_index for ti in instances},
        "states": {f"{ti.task_id} {ti.map_index}": ti.state for ti in instances},
        **{ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in instances if ti.task_id in ("both", "manifests")},
    }
    sys.stdout.write(f"RESULT {json.dumps(result)}\n")
