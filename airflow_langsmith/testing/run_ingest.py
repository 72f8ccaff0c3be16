"""Runs, created and changed, in the form in which clients send them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from airflow_langsmith.testing.records import RUN_TYPES, Attachment, Run
from airflow_langsmith.testing.refusals import invalid_field
from airflow_langsmith.testing.times import dotted_order_segment, parse_time
from airflow_langsmith.testing.usage import logged_usage
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["Reader", "change_run", "create_run", "read_fields", "read_id", "read_time"]

Reader = Callable[[Any], Any]

_DEFAULT_PROJECT = "default"
_FIELDS = (
    "name run_type start_time end_time dotted_order trace_id parent_run_id error inputs outputs extra events tags "
    "serialized status reference_example_id reference_dataset_id attachments"
).split()
_RARE_FIELDS = (
    "manifest manifest_id manifest_s3_id last_queued_at in_dataset share_token trace_tier trace_upgrade ttl_seconds "
    "price_model_id messages ls_user_id thread_evaluation_time"
).split()


def read_id(value: object) -> str:
    """Read a UUID or its text."""
    return str(value if isinstance(value, UUID) else UUID(str(value)))


def read_time(value: object) -> datetime:
    """Read a datetime or its text. A time without a zone is in UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return parse_time(str(value), zone_required=False)


def _run_type(value: object) -> str:
    if value not in RUN_TYPES:
        raise ValueError("Input should be " + ", ".join(map(repr, RUN_TYPES)))
    return str(value)


def _attachments(value: Mapping[str, Attachment | tuple[str, bytes]]) -> dict[str, Attachment]:
    return {name: file if isinstance(file, Attachment) else Attachment(*file) for name, file in value.items()}


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("id", "trace_id", "parent_run_id", "session_id"), read_id),
    **dict.fromkeys(("reference_example_id", "reference_dataset_id"), read_id),
    **dict.fromkeys(("start_time", "end_time", "first_token_time"), read_time),
    **dict.fromkeys(("last_queued_at", "thread_evaluation_time", "received_at"), read_time),
    **dict.fromkeys(("name", "dotted_order", "error", "status", "session_name", "project_name"), str),
    "run_type": _run_type,
    "attachments": _attachments,
}


def read_fields(body: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """
    Read each field that is not null: the SDK sends null for a field that it does not change.

    :raises Refusal: 422, with the name of the field.
    """
    fields: dict[str, Any] = {}
    for name, value in body.items():
        if value is None:
            continue
        try:
            fields[name] = readers[name](value) if name in readers else value
        except (ValueError, TypeError) as error:
            raise invalid_field(name, str(error)) from error
    return fields


def create_run(workspace: Workspace, body: Mapping[str, Any]) -> Run:
    """
    Store a run in the form of the SDK's ``create_run``, or in the form in which the SDK sends it.

    Creates the project if it does not exist, reads trace and parent from the dotted order or builds the dotted order
    from the parent, and applies a change that arrived before the run.
    """
    fields = read_fields(body, _READERS)
    for name in ("id", "name", "run_type"):
        if name not in fields:
            raise invalid_field(name, "Field required", kind="missing")
    now = workspace.now()
    run_id, start = fields["id"], fields.get("start_time", now)
    lineage = _lineage(workspace, fields, start)
    run = Run(
        run_id,
        lineage["trace_id"],
        _project_id(workspace, fields),
        fields["name"],
        fields["run_type"],
        start,
        lineage["dotted_order"],
        fields.get("received_at", now),
        lineage["parent_run_id"],
    )
    run = _with_fields(run, {name: value for name, value in fields.items() if name not in lineage})
    workspace.add_run(run)
    for feedback in workspace.feedback_of(run_id):  # feedback may arrive before its run
        feedback.trace_id, feedback.session_id = run.trace_id, run.project_id
    early_change = workspace.early_changes.pop(run_id, None)
    return run if early_change is None else change_run(workspace, run_id, early_change) or run


def change_run(workspace: Workspace, run_id: str, body: Mapping[str, Any]) -> Run | None:
    """Change a run as the SDK's ``update_run`` does. A run that has not arrived is changed when it arrives."""
    run = workspace.runs.get(run_id)
    if run is None:
        early_change = workspace.early_changes.setdefault(run_id, {})
        early_change.update({name: value for name, value in body.items() if value is not None})
        return None
    changed = _with_fields(run, read_fields(body, _READERS))
    workspace.add_run(changed)
    return changed


def _project_id(workspace: Workspace, fields: Mapping[str, Any]) -> str:
    if "session_id" in fields:
        if fields["session_id"] not in workspace.projects:
            raise invalid_field("session_id", "No such project")
        return str(fields["session_id"])
    return workspace.ensure_project(fields.get("session_name") or fields.get("project_name") or _DEFAULT_PROJECT).id


def _lineage(workspace: Workspace, fields: Mapping[str, Any], start: datetime) -> dict[str, Any]:
    """Return the place of a run in its trace."""
    segment = dotted_order_segment(start, fields["id"])
    order = fields.get("dotted_order")
    segments = [] if order is None else order.split(".")
    parent_id = fields.get("parent_run_id") or (segments[-2][-36:] if len(segments) > 1 else None)
    parent = workspace.runs.get(parent_id) if parent_id else None
    trace_id = fields["id"] if parent is None else parent.trace_id
    return {
        "id": fields["id"],
        "trace_id": fields.get("trace_id") or (segments[0][-36:] if segments else trace_id),
        "parent_run_id": parent_id,
        "dotted_order": order or (segment if parent is None else f"{parent.dotted_order}.{segment}"),
    }


def _with_fields(run: Run, fields: Mapping[str, Any]) -> Run:
    """Return a run with changed fields, and with what follows from them: status, usage and first token."""
    changes = {name: fields[name] for name in _FIELDS if name in fields}
    if "attachments" in changes:
        changes["attachments"] = {**run.attachments, **changes["attachments"]}
    changes["rest"] = {**run.rest, **{name: fields[name] for name in _RARE_FIELDS if name in fields}}
    changed = replace(run, **changes)
    if "status" not in changes:
        changed.status = _status(changed)
    changed.usage = logged_usage(changed.outputs, changed.extra)
    changed.first_token_time = fields.get("first_token_time") or _first_token(changed.events) or run.first_token_time
    return changed


def _status(run: Run) -> str:
    if run.error is not None:
        return "error"
    return "pending" if run.end_time is None else "success"


def _first_token(events: list[dict[str, Any]] | None) -> datetime | None:
    times = [event.get("time") for event in events or () if event.get("name") == "new_token"]
    return min((read_time(time) for time in times if time is not None), default=None)
