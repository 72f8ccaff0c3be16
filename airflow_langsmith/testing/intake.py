"""From what a client sends to what a workspace holds: runs created and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from airflow_langsmith.testing.moments import parse, stamp
from airflow_langsmith.testing.records import RUN_TYPES, Attachment, Run
from airflow_langsmith.testing.refusals import invalid_field
from airflow_langsmith.testing.usage import logged_usage
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["change_run", "identifier", "instant", "read_fields", "take_run"]

Reader = Callable[[Any], Any]

_DEFAULT_PROJECT = "default"
_OWN = (
    "name run_type start_time end_time dotted_order trace_id parent_run_id error inputs outputs extra events tags "
    "serialized status reference_example_id reference_dataset_id attachments"
).split()
_RARE = (
    "manifest manifest_id manifest_s3_id last_queued_at in_dataset share_token trace_tier trace_upgrade ttl_seconds "
    "price_model_id messages ls_user_id thread_evaluation_time"
).split()


def identifier(value: object) -> str:
    """Read an id, as a UUID or spelt out."""
    return str(value if isinstance(value, UUID) else UUID(str(value)))


def instant(value: object) -> datetime:
    """Read a time, as a datetime or spelt out; without a zone it means UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return parse(str(value), zone_required=False)


def _run_type(value: object) -> str:
    if value not in RUN_TYPES:
        raise ValueError("Input should be " + ", ".join(repr(known) for known in RUN_TYPES))
    return str(value)


def _attachments(value: Mapping[str, Attachment | tuple[str, bytes]]) -> dict[str, Attachment]:
    return {name: file if isinstance(file, Attachment) else Attachment(*file) for name, file in value.items()}


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("id", "trace_id", "parent_run_id", "session_id"), identifier),
    **dict.fromkeys(("reference_example_id", "reference_dataset_id"), identifier),
    **dict.fromkeys(("start_time", "end_time", "first_token_time"), instant),
    **dict.fromkeys(("last_queued_at", "thread_evaluation_time", "received_at"), instant),
    **dict.fromkeys(("name", "dotted_order", "error", "status", "session_name", "project_name"), str),
    "run_type": _run_type,
    "attachments": _attachments,
}


def read_fields(given: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """
    Give every field its type. A null says nothing: the SDK sends one for whatever it does not mean to change.

    :raises Refusal: 422, naming the field.
    """
    known: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        reader = readers.get(name)
        try:
            known[name] = value if reader is None else reader(value)
        except (ValueError, TypeError) as error:
            raise invalid_field(name, str(error)) from error
    return known


def take_run(workspace: Workspace, given: Mapping[str, Any]) -> Run:
    """
    Store a new run, from what the SDK's ``create_run`` takes or sends.

    What is missing is derived: the project is opened by its name, trace and parent are read off the dotted order, and
    the dotted order is built from the parent. A change that arrived before the run itself is made now.
    """
    known = read_fields(given, _READERS)
    for name in ("id", "name", "run_type"):
        if name not in known:
            raise invalid_field(name, "Field required", kind="missing")
    now = workspace.now()
    run_id, start = known["id"], known.get("start_time", now)
    lineage = _lineage(workspace, known, start)
    run = Run(
        run_id,
        lineage["trace_id"],
        _project(workspace, known),
        known["name"],
        known["run_type"],
        start,
        lineage["dotted_order"],
        known.get("received_at", now),
        lineage["parent_run_id"],
    )
    run = _with(run, {name: value for name, value in known.items() if name not in lineage})
    workspace.add_run(run)
    for feedback in workspace.feedback_of(run_id):  # it may be earlier than its run
        feedback.trace_id, feedback.session_id = run.trace_id, run.project_id
    early = workspace.early_changes.pop(run_id, None)
    return run if early is None else change_run(workspace, run_id, early) or run


def change_run(workspace: Workspace, run_id: str, given: Mapping[str, Any]) -> Run | None:
    """Change a stored run, as the SDK's ``update_run`` does; one that has not arrived is changed when it does."""
    run = workspace.runs.get(run_id)
    if run is None:
        early = workspace.early_changes.setdefault(run_id, {})
        early.update({name: value for name, value in given.items() if value is not None})
        return None
    changed = _with(run, read_fields(given, _READERS))
    workspace.add_run(changed)
    return changed


def _project(workspace: Workspace, known: Mapping[str, Any]) -> str:
    if "session_id" in known:
        if known["session_id"] not in workspace.projects:
            raise invalid_field("session_id", "No such project")
        return str(known["session_id"])
    return workspace.ensure_project(known.get("session_name") or known.get("project_name") or _DEFAULT_PROJECT).id


def _lineage(workspace: Workspace, known: Mapping[str, Any], start: datetime) -> dict[str, Any]:
    """Complete a run's place in its trace from whatever is known of it."""
    own = stamp(start, known["id"])
    order = known.get("dotted_order")
    segments = [] if order is None else order.split(".")
    parent_id = known.get("parent_run_id") or (segments[-2][-36:] if len(segments) > 1 else None)
    parent = workspace.runs.get(parent_id) if parent_id else None
    above = known["id"] if parent is None else parent.trace_id
    return {
        "id": known["id"],
        "trace_id": known.get("trace_id") or (segments[0][-36:] if segments else above),
        "parent_run_id": parent_id,
        "dotted_order": order or (own if parent is None else f"{parent.dotted_order}.{own}"),
    }


def _with(run: Run, known: Mapping[str, Any]) -> Run:
    """Put what is known into a run, and what follows from it."""
    fields = {name: known[name] for name in _OWN if name in known}
    if "attachments" in fields:
        fields["attachments"] = {**run.attachments, **fields["attachments"]}
    rare = {name: known[name] for name in _RARE if name in known}
    if rare:
        fields["rest"] = {**run.rest, **rare}
    changed = replace(run, **fields)
    if "status" not in fields:
        changed.status = _status(changed)
    changed.usage = logged_usage(changed.outputs, changed.extra)
    changed.first_token_time = known.get("first_token_time") or _first_token(changed.events) or run.first_token_time
    return changed


def _status(run: Run) -> str:
    if run.error is not None:
        return "error"
    return "pending" if run.end_time is None else "success"


def _first_token(events: list[dict[str, Any]] | None) -> datetime | None:
    times = [event.get("time") for event in events or () if event.get("name") == "new_token"]
    return min((instant(time) for time in times if time is not None), default=None)
