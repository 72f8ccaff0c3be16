"""From what a client sends to what a workspace holds: feedback created and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_langsmith.testing.intake import Reader, identifier, instant, read_fields
from airflow_langsmith.testing.records import Feedback
from airflow_langsmith.testing.refusals import invalid_field
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["change_feedback", "take_feedback"]

_IDENTIFIERS = ("id", "run_id", "trace_id", "session_id", "feedback_group_id", "comparative_experiment_id")
_READERS: dict[str, Reader] = {
    **dict.fromkeys(_IDENTIFIERS, identifier),
    **dict.fromkeys(("created_at", "modified_at"), instant),
    **dict.fromkeys(("key", "comment", "feedback_thread_id"), str),
    "error": bool,
}
_REST = (
    "score",
    "value",
    "correction",
    "feedback_source",
    "extra",
    *_IDENTIFIERS[1:],
    "feedback_thread_id",
    "comment",
    "error",
)
_CHANGEABLE = ("score", "value", "comment", "correction")


def take_feedback(workspace: Workspace, given: Mapping[str, Any]) -> Feedback:
    """
    Store feedback, from what the SDK's ``create_feedback`` takes or sends.

    Trace and project are those of the run, if it is there and they are not said; the form of ``create_feedback``
    names the id and the source ``feedback_id`` and ``feedback_source_type``.
    """
    known = read_fields(given, _READERS)
    if "key" not in known:
        raise invalid_field("key", "Field required", kind="missing")
    if "feedback_id" in known:
        known["id"] = identifier(known["feedback_id"])
    if "run_id" not in known and "trace_id" in known:
        known["run_id"] = known["trace_id"]
    run = workspace.runs.get(known.get("run_id", ""))
    if run is not None:
        known = {"trace_id": run.trace_id, "session_id": run.project_id, **known}
    known.setdefault("feedback_source", {"type": known.get("feedback_source_type", "api"), "metadata": {}})
    created = known.get("created_at") or workspace.now()
    feedback = Feedback(
        known.get("id") or workspace.new_id(),
        known["key"],
        created,
        known.get("modified_at") or created,
        **{name: known[name] for name in _REST if name in known},
    )
    workspace.add_feedback(feedback)
    return feedback


def change_feedback(workspace: Workspace, feedback: Feedback, given: Mapping[str, Any]) -> Feedback:
    """Change what was said; a field sent as null is cleared, one not sent stays."""
    fields = {name: given[name] for name in _CHANGEABLE if name in given}
    changed = replace(feedback, **fields, modified_at=workspace.now())
    workspace.add_feedback(changed)
    return changed
