"""The v1 endpoints of projects, which the API calls sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_langsmith.testing.bodies import (
    Check,
    boolean,
    check_body,
    check_query,
    each,
    moment,
    number,
    one_of,
    spelt,
    text,
    uuid,
    uuid_in_path,
)
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.moments import naive
from airflow_langsmith.testing.records import Project
from airflow_langsmith.testing.refusals import Refusal, invalid_field

__all__ = ["create", "find", "read", "update"]

_LISTS = ("id", "reference_dataset")
_UNSUPPORTED = ("filter", "dataset_version", "tag_value_id")
_moment = moment(zone_required=False)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("Input should be a valid dictionary")  # noqa: TRY004
    return value


def _json_object(value: object) -> dict[str, Any]:
    return _object(json.loads(text(value)))


_FIND: dict[str, Check] = {
    "id": each(uuid),
    "name": text,
    "name_contains": text,
    "reference_free": spelt(boolean),
    "reference_dataset": each(uuid),
    "metadata": _json_object,
    "sort_by": one_of(("name", "start_time")),
    "sort_by_desc": spelt(boolean),
    "include_stats": spelt(boolean),  # accepted and not served, as the cheap form of the real one
    "offset": spelt(number(0)),
    "limit": spelt(number(1, 100)),
    **dict.fromkeys(_UNSUPPORTED, lambda value: value),
}

_CREATE: dict[str, Check] = {
    "id": uuid,
    "name": text,
    "description": text,
    "start_time": _moment,
    "end_time": _moment,
    "extra": _object,
    "reference_dataset_id": uuid,
    "default_dataset_id": uuid,
    "trace_tier": one_of(("longlived", "shortlived")),
    "num_examples": number(0),
    "num_repetitions": number(1),
    "evaluator_keys": each(text),
    "tag_value_ids": each(uuid),
}

_UPDATE = {name: _CREATE[name] for name in ("name", "description", "end_time", "extra")}


def find(context: Context, call: Call) -> Answer:
    """List projects, the newest first; an unknown name finds none."""
    asked = check_query(call, _FIND, _LISTS)
    for name in _UNSUPPORTED:
        if name in asked:
            raise Refusal(501, f"{name!r} is not available on this deployment")
    by_name = asked.get("sort_by") == "name"
    found = sorted(
        filter(_conditions(asked), context.workspace.projects.values()),
        key=lambda project: (project.name if by_name else naive(project.start_time), project.id),
        reverse=asked.get("sort_by_desc", True),
    )
    offset = asked.get("offset", 0)
    page = found[offset : offset + min(asked.get("limit", 100), context.settings.largest_list)]
    return json_answer([_row(context, project) for project in page])


def read(context: Context, call: Call, project_id: str) -> Answer:  # noqa: ARG001 (every endpoint is called alike)
    """Serve one project."""
    return json_answer(_row(context, _project(context, project_id)))


def create(context: Context, call: Call) -> Answer:
    """Open a project; with ``upsert`` one of that name may be there already."""
    body = check_body(call.json(), _CREATE, nulls=True)
    upsert = check_query(call, {"upsert": spelt(boolean)}).get("upsert", False)
    if "name" not in body:
        raise invalid_field("name", "Field required", kind="missing")
    project = context.workspace.project_named(body["name"])
    if project is not None and not upsert:
        raise Refusal(409, f"Session with name {project.name!r} already exists")
    if project is None:
        project = Project(body.get("id") or context.workspace.new_id(), body["name"], context.workspace.now())
        context.workspace.add_project(project)
    _assign(project, body)
    return json_answer(_row(context, project))


def update(context: Context, call: Call, project_id: str) -> Answer:
    """Change a project; a null leaves a field as it is."""
    project = _project(context, project_id)
    _assign(project, check_body(call.json(), _UPDATE, nulls=True))
    return json_answer(_row(context, project))


def _conditions(asked: dict[str, Any]) -> Callable[[Project], bool]:
    def passes(project: Project) -> bool:
        metadata = (project.extra or {}).get("metadata") or {}
        return (
            project.id in asked.get("id", (project.id,))
            and project.name == asked.get("name", project.name)
            and asked.get("name_contains", "").casefold() in project.name.casefold()
            and asked.get("reference_free", project.reference_dataset_id is None)
            is (project.reference_dataset_id is None)
            and project.reference_dataset_id in asked.get("reference_dataset", (project.reference_dataset_id,))
            and all(name in metadata and metadata[name] == value for name, value in asked.get("metadata", {}).items())
        )

    return passes


def _assign(project: Project, body: dict[str, Any]) -> None:
    for name in ("name", "description", "start_time", "end_time", "extra", "reference_dataset_id", "trace_tier"):
        if name in body:
            setattr(project, name, body[name])


def _project(context: Context, project_id: str) -> Project:
    project = context.workspace.projects.get(uuid_in_path(project_id, "session_id"))
    if project is None:
        raise Refusal(404, "Session not found")
    return project


def _row(context: Context, project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "tenant_id": context.workspace.id,
        "name": project.name,
        "description": project.description,
        "start_time": naive(project.start_time),
        "end_time": None if project.end_time is None else naive(project.end_time),
        "extra": project.extra,
        "trace_tier": project.trace_tier,
        "longlived_ttl_days": project.longlived_ttl_days,
        "default_dataset_id": None,
        "reference_dataset_id": project.reference_dataset_id,
        "test_run_number": None,
        "last_run_start_time_live": None,
    }
