"""A task that returns what the hook reads, and a task that uses it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_langsmith.hooks import LangSmithHook

with DAG(dag_id="returning", schedule=None):

    @task
    def read() -> dict[str, Any]:
        """Return runs, feedback and a project, as plain values."""
        with LangSmithHook() as hook:
            return {
                "runs": hook.plain(hook.query_runs(project="returned", is_root=True)),
                "feedback": hook.plain(hook.list_feedback(project="returned")),
                "projects": hook.plain(hook.list_projects("returned")),
            }

    @task
    def use(result: dict[str, Any]) -> list[Any]:
        """Return values of them."""
        (run,), (feedback,), (project,) = result["runs"], result["feedback"], result["projects"]
        return [run["inputs"]["question"], run["start_time"], feedback["score"], project["name"]]

    use(read())  # type: ignore[arg-type]  # Airflow passes what it returns
