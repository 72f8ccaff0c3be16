"""DAGs that wait for feedback on the project of the same name, each with another end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_langsmith.sensors import LangSmithFeedbackSensor
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger

WAITING: dict[str, Any] = {
    "window": "1d",
    "missing_window": "run_after",
    "condition": "coverage(user_score) >= 1",
    "deferrable": True,
    "poke_interval": 0.5,
    "timeout": timedelta(hours=1),
    "retries": 2,
    "retry_delay": timedelta(0),
}
ENDS: dict[str, dict[str, Any]] = {
    "survives": {},
    "alarmed": {"fail_when": "share(user_score, 0) > 0.4"},
    "overdue": {"timeout": 10.0, "soft_fail": True},
    "stopped": {"execution_timeout": timedelta(seconds=10), "soft_fail": True, "retries": 1},
    "locked_out": {"langsmith_conn_id": "changing", "soft_fail": True},
    "wrong_key": {"langsmith_conn_id": "wrong", "soft_fail": True},
}

for name, arguments in ENDS.items():
    with DAG(dag_id=name, schedule=None):
        LangSmithFeedbackSensor(task_id="wait", project=name, **(WAITING | arguments))

with DAG(dag_id="mapped", schedule=None):
    LangSmithFeedbackSensor.partial(task_id="wait", **WAITING).expand(project=["survives", "overdue"])

trigger = LangSmithFeedbackEventTrigger(project="watched", condition="count(user_score) >= 2", poke_interval=0.5)

with DAG(dag_id="watched", schedule=[Asset("judged", watchers=[AssetWatcher(name="people", trigger=trigger)])]):

    @task
    def installed(triggering_asset_events: Any = None) -> dict[str, Any]:
        """Return the place of the package, and the figures of the event."""
        import airflow_langsmith  # noqa: PLC0415  # that of the worker

        ((event,),) = triggering_asset_events.values()
        return {"package": airflow_langsmith.__file__, "figures": event.extra["payload"]["figures"]}

    installed()
