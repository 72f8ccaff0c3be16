"""The v1 endpoints of projects, which the API calls sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import Check, uuid_in_path
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.records import Project
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.times import v1_time

__all__ = ["create", "find", "read", "update"]

_LISTS = ("id", "reference_dataset")
_UNSUPPORTED = ("filter", "dataset_version", "tag_value_id")
_TIME = checks.time(zone_required=False)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("Input should be a valid dictionary")  # noqa: TRY004
    return value


def _json_object(value: object) -> dict[str, Any]:
    return _object(json.loads(checks.text(value)))


_FIND: dict[str, Check] = {
    "id": checks.list_of(checks.uuid),
    "name": checks.text,
    "name_contains": checks.text,
    "reference_free": checks.in_query(checks.boolean),
    "reference_dataset": checks.list_of(checks.uuid),
    "metadata": _json_object,
    "sort_by": checks.one_of(("name", "start_time")),
    "sort_by_desc": checks.in_query(checks.boolean),
    "include_stats": checks.in_query(checks.boolean),  # accepted, but no statistics are computed
    "offset": checks.in_query(checks.number(0)),
    "limit": checks.in_query(checks.number(1, 100)),
    **dict.fromkeys(_UNSUPPORTED, lambda value: value),
}

_CREATE: dict[str, Check] = {
    "id": checks.uuid,
    "name": checks.text,
    "description": checks.text,
    "start_time": _TIME,
    "end_time": _TIME,
    "extra": _object,
    "reference_dataset_id": checks.uuid,
    "default_dataset_id": checks.uuid,
    "trace_tier": checks.one_of(("longlived", "shortlived")),
    "num_examples": checks.number(0),
    "num_repetitions": checks.number(1),
    "evaluator_keys": checks.list_of(checks.text),
    "tag_value_ids": checks.list_of(checks.uuid),
}

_UPDATE = {name: _CREATE[name] for name in ("name", "description", "end_time", "extra")}


def find(context: Context, request: Request) -> Response:
    """List projects, the newest first."""
    query = checks.check_query(request, _FIND, _LISTS)
    for name in _UNSUPPORTED:
        if name in query:
            raise Refusal(501, f"{name!r} is not available on this deployment")
    by_name = query.get("sort_by") == "name"
    projects = sorted(
        filter(_condition(query), context.workspace.projects.values()),
        key=lambda project: (project.name if by_name else v1_time(project.start_time), project.id),
        reverse=query.get("sort_by_desc", True),
    )
    offset = query.get("offset", 0)
    page = projects[offset : offset + min(query.get("limit", 100), context.settings.largest_list)]
    return json_response([_row(context, project) for project in page])


def read(context: Context, request: Request, project_id: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Serve a project by its id."""
    return json_response(_row(context, _project(context, project_id)))


def create(context: Context, request: Request) -> Response:
    """Create a project. With ``upsert`` it may exist already."""
    body = checks.check_body(request.json(), _CREATE, nulls=True)
    upsert = checks.check_query(request, {"upsert": checks.in_query(checks.boolean)}).get("upsert", False)
    if "name" not in body:
        raise invalid_field("name", "Field required", kind="missing")
    project = context.workspace.project_named(body["name"])
    if project is not None and not upsert:
        raise Refusal(409, f"Session with name {project.name!r} already exists")
    if project is None:
        project = Project(body.get("id") or context.workspace.new_id(), body["name"], context.workspace.now())
        context.workspace.add_project(project)
    _assign(project, body)
    return json_response(_row(context, project))


def update(context: Context, request: Request, project_id: str) -> Response:
    """Change a project. A null leaves a field as it is."""
    project = _project(context, project_id)
    _assign(project, checks.check_body(request.json(), _UPDATE, nulls=True))
    return json_response(_row(context, project))


def _condition(query: dict[str, Any]) -> Callable[[Project], bool]:
    def matches(project: Project) -> bool:
        metadata = (project.extra or {}).get("metadata") or {}
        return (
            project.id in query.get("id", (project.id,))
            and project.name == query.get("name", project.name)
            and query.get("name_contains", "").casefold() in project.name.casefold()
            and query.get("reference_free", project.reference_dataset_id is None)
            is (project.reference_dataset_id is None)
            and project.reference_dataset_id in query.get("reference_dataset", (project.reference_dataset_id,))
            and all(name in metadata and metadata[name] == value for name, value in query.get("metadata", {}).items())
        )

    return matches


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
        "start_time": v1_time(project.start_time),
        "end_time": None if project.end_time is None else v1_time(project.end_time),
        "extra": project.extra,
        "trace_tier": project.trace_tier,
        "longlived_ttl_days": project.longlived_ttl_days,
        "default_dataset_id": None,
        "reference_dataset_id": project.reference_dataset_id,
        "test_run_number": None,
        "last_run_start_time_live": None,
    }
