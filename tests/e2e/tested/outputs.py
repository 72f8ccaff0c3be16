"""A DAG about what exports return and how mapped ones are called; run as a script it tests itself, and tells."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_langsmith.operators import LangSmithExportOperator, LangSmithListRunsOperator, LangSmithReadRunOperator

with DAG("outputs", schedule=None) as dag:
    where: Any = {
        "destination": f"file://{os.environ['AIRFLOW_HOME']}/lake",
        "start_time": "2026-03-01T00:00:00Z",
        "end_time": "2026-03-02T00:00:00Z",
    }

    @task
    def projects() -> list[str]:
        """Name projects, one of which looks like a template, and one of which is not there."""
        return ["shop", "{{ bar }}", "missing"]

    one: Any = LangSmithExportOperator(task_id="one", project="shop", **where)
    mapped: Any = LangSmithExportOperator.partial(task_id="mapped", view="traces", **where).expand(project=projects())
    theirs = LangSmithExportOperator.partial(
        task_id="theirs", view="threads", map_index_template="mine: {{ task.project }}", **where
    ).expand(project=["shop"])
    listed = LangSmithListRunsOperator(
        task_id="listed", project="shop", start_time=where["start_time"], end_time=where["end_time"]
    )
    read = LangSmithReadRunOperator.partial(task_id="read", project="shop").expand(
        run_id=listed.output.map(lambda run: run["run_id"])
    )

    @task
    def both(manifest: str, whole: dict[str, Any]) -> dict[str, Any]:
        """Take one value of what an export returned, and all of them."""
        return {"manifest": manifest, "whole": whole}

    @task(trigger_rule="all_done")
    def manifests(of: Any) -> list[str]:
        """Take one value of what each mapped export returned."""
        return list(of)

    both(one.output["manifest"], one.output)
    manifests(mapped.output["manifest"])

if __name__ == "__main__":
    run = dag.test(logical_date=datetime(2026, 3, 2, tzinfo=UTC))
    instances = run.get_task_instances()
    told = {
        "names": {f"{ti.task_id} {ti.map_index}": ti.rendered_map_index for ti in instances},
        "states": {f"{ti.task_id} {ti.map_index}": ti.state for ti in instances},
        **{ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in instances if ti.task_id in ("both", "manifests")},
    }
    sys.stdout.write(f"TOLD {json.dumps(told)}\n")
