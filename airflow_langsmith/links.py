"""Links on a task's page in Airflow to LangSmith's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_langsmith.airflow_sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

    from airflow_langsmith.airflow_sdk import BaseOperator


class _Link(BaseOperatorLink):
    """The URL that the operator set when it ran; empty if it did not get that far."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's contract
        """Return the URL."""
        return str(getattr(operator, "langsmith_url", ""))


class LangSmithProjectLink(_Link):
    """Leads to the project, narrowed to the window and the filters of the task."""

    name = "LangSmith project"


class LangSmithRunLink(_Link):
    """Leads to the run that the task read."""

    name = "LangSmith run"
