"""Buttons on a task's page that lead to LangSmith's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_langsmith.airflow_sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

    from airflow_langsmith.airflow_sdk import BaseOperator


class _Link(BaseOperatorLink):
    """What an operator found out about its place in LangSmith, when it ran; empty if it did not get that far."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's contract
        """Give the address that the operator left."""
        return str(getattr(operator, "langsmith_url", ""))


class LangSmithProjectLink(_Link):
    """To the project, narrowed to the window and the filters of the task."""

    name = "LangSmith project"


class LangSmithRunLink(_Link):
    """To the run that the task read."""

    name = "LangSmith run"
