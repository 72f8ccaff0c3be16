"""Feedback, created and changed, in the form in which clients send it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_langsmith.testing.records import Feedback
from airflow_langsmith.testing.refusals import invalid_field
from airflow_langsmith.testing.run_ingest import Reader, read_fields, read_id, read_time
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["change_feedback", "create_feedback"]

_IDS = ("id", "run_id", "trace_id", "session_id", "feedback_group_id", "comparative_experiment_id")
_READERS: dict[str, Reader] = {
    **dict.fromkeys(_IDS, read_id),
    **dict.fromkeys(("created_at", "modified_at"), read_time),
    **dict.fromkeys(("key", "comment", "feedback_thread_id"), str),
    "error": bool,
}
_CHANGEABLE = ("score", "value", "comment", "correction")
_OPTIONAL = (*_CHANGEABLE, *_IDS[1:], "feedback_source", "extra", "feedback_thread_id", "error")


def create_feedback(workspace: Workspace, body: Mapping[str, Any]) -> Feedback:
    """
    Store feedback in the form of the SDK's ``create_feedback``, or in the form in which the SDK sends it.

    ``create_feedback`` calls the id ``feedback_id``, and the source ``feedback_source_type``. Trace and project are by
    default those of the run.
    """
    fields = read_fields(body, _READERS)
    if "key" not in fields:
        raise invalid_field("key", "Field required", kind="missing")
    if "feedback_id" in fields:
        fields["id"] = read_id(fields["feedback_id"])
    if "run_id" not in fields and "trace_id" in fields:
        fields["run_id"] = fields["trace_id"]
    run = workspace.runs.get(fields.get("run_id", ""))
    if run is not None:
        fields = {"trace_id": run.trace_id, "session_id": run.project_id, **fields}
    fields.setdefault("feedback_source", {"type": fields.get("feedback_source_type", "api"), "metadata": {}})
    created = fields.get("created_at") or workspace.now()
    feedback = Feedback(
        fields.get("id") or workspace.new_id(),
        fields["key"],
        created,
        fields.get("modified_at") or created,
        **{name: fields[name] for name in _OPTIONAL if name in fields},
    )
    workspace.add_feedback(feedback)
    return feedback


def change_feedback(workspace: Workspace, feedback: Feedback, body: Mapping[str, Any]) -> Feedback:
    """Change feedback. A null clears a field; a field that was not sent stays."""
    fields = {name: body[name] for name in _CHANGEABLE if name in body}
    changed = replace(feedback, **fields, modified_at=workspace.now())
    workspace.add_feedback(changed)
    return changed
