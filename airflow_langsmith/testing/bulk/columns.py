"""The columns of an export, and the value of a run in each of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from airflow_langsmith.testing.bulk.behaviour import BulkBackend
from airflow_langsmith.testing.feedback_stats import v1_feedback_stats, v2_feedback_stats
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.usage import Usage
from airflow_langsmith.testing.v1.feedback_rows import feedback_row
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["COSTS", "DEFAULT_FIELDS", "FIELDS", "JSON", "PAYLOAD_OBJECTS", "TIMES", "TOKENS", "UUIDS", "RunValues"]

UUIDS = ("id", "parent_run_id", "reference_example_id", "session_id", "tenant_id", "trace_id")
TIMES = ("start_time", "end_time", "first_token_time")
TOKENS = ("completion_tokens", "prompt_tokens", "total_tokens")
COSTS = ("completion_cost", "prompt_cost", "total_cost")
PAYLOAD_OBJECTS = ("inputs", "outputs", "extra")
JSON = (*PAYLOAD_OBJECTS, "events", "feedback_stats", "feedbacks", "parent_run_ids", "tags")

DEFAULT_FIELDS = tuple(
    "completion_cost completion_tokens dotted_order end_time error events extra feedback_stats first_token_time id "
    "inputs is_root name outputs parent_run_id parent_run_ids prompt_cost prompt_tokens reference_example_id run_type "
    "session_id start_time status tags tenant_id total_cost total_tokens trace_id trace_tier".split()
)
FIELDS = (*DEFAULT_FIELDS, "feedbacks")  # exported only if a request names it


class RunValues:
    """
    Reads the values of runs.

    :param backend: The store that answers: it decides whether tokens, costs and first token include the runs below,
        and the form of the statistics of feedback.
    """

    def __init__(self, workspace: Workspace, backend: BulkBackend) -> None:
        self._workspace = workspace
        self._subtree = backend == "clickhouse"
        stats = v1_feedback_stats if self._subtree else v2_feedback_stats
        self._readers: dict[str, Callable[[Run], Any]] = {
            **{name: attrgetter(name) for name in FIELDS if hasattr(Run, name)},
            **{name: self._usage_reader(name) for name in (*TOKENS, *COSTS)},
            "first_token_time": lambda run: self._totals(run)[1],
            "session_id": attrgetter("project_id"),
            "tenant_id": lambda _: workspace.id,
            "trace_tier": lambda run: run.rest.get("trace_tier", "longlived"),
            "feedback_stats": lambda run: stats(workspace.feedback_of(run.id)),
            "feedbacks": lambda run: [feedback_row(workspace, item) for item in workspace.feedback_of(run.id)],
        }

    def reader(self, field: str) -> Callable[[Run], Any]:
        """Return what reads a column of a run."""
        return self._readers[field]

    def _totals(self, run: Run) -> tuple[Usage, datetime | None]:
        if self._subtree:
            return self._workspace.traces[run.trace_id].subtree_totals(run.id)
        return run.usage, run.first_token_time

    def _usage_reader(self, name: str) -> Callable[[Run], float | None]:
        def read(run: Run) -> float | None:
            value: int | Decimal | None = getattr(self._totals(run)[0], name)
            return float(value) if isinstance(value, Decimal) else value

        return read
