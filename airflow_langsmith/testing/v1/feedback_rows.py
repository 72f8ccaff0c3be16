"""Feedback as v1 writes it."""

from __future__ import annotations

from typing import Any

from airflow_langsmith.testing.records import Feedback
from airflow_langsmith.testing.times import v1_time
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["feedback_row"]


def feedback_row(workspace: Workspace, feedback: Feedback) -> dict[str, Any]:
    """Write feedback with all its fields."""
    run = workspace.runs.get(feedback.run_id or "")
    return {
        "id": feedback.id,
        "key": feedback.key,
        "created_at": v1_time(feedback.created_at),
        "modified_at": v1_time(feedback.modified_at),
        "score": feedback.score,
        "value": feedback.value,
        "comment": feedback.comment,
        "correction": feedback.correction,
        "run_id": feedback.run_id,
        "trace_id": feedback.trace_id,
        "session_id": feedback.session_id,
        "start_time": None if run is None else v1_time(run.start_time),
        "is_root": run is not None and run.is_root,
        "feedback_source": feedback.feedback_source,
        "feedback_group_id": feedback.feedback_group_id,
        "comparative_experiment_id": feedback.comparative_experiment_id,
        "extra": feedback.extra,
        "feedback_thread_id": feedback.feedback_thread_id,
    }
