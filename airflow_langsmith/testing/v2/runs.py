"""The v2 endpoints that read runs: ``POST /runs/query`` and ``GET /runs/{id}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import Check, uuid_in_path
from airflow_langsmith.testing.conditions import (
    FeedbackWindow,
    FilterConditions,
    Predicate,
    compile_filters,
    start_bounds,
)
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.filters import Dialect
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.pages import Page, decode_cursor, fill_page
from airflow_langsmith.testing.records import RUN_TYPES, Run
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.timeline import Bounds, merge_timelines
from airflow_langsmith.testing.v2.rows import SELECTABLE, V2Rows

__all__ = ["query", "read", "refuse_before_v2"]

_DEFAULT_SELECTS = ("ID",)
_DEFAULT_PAGE_SIZE = 100
_DEFAULT_WINDOW = timedelta(days=1)

_TIME = checks.time(zone_required=True)

_QUERY: dict[str, Check] = {
    "project_ids": checks.list_of(checks.uuid),
    "reference_dataset_id": checks.uuid,
    "ids": lambda value: frozenset(checks.list_of(checks.uuid)(value)),
    "trace_id": checks.uuid,
    "run_type": checks.one_of(tuple(name.upper() for name in RUN_TYPES)),
    "is_root": checks.boolean,
    "has_error": checks.boolean,
    "reference_examples": checks.list_of(checks.uuid),
    "filter": checks.text,
    "trace_filter": checks.text,
    "tree_filter": checks.text,
    "min_start_time": _TIME,
    "max_start_time": _TIME,
    "min_feedback_modified_at": _TIME,
    "max_feedback_modified_at": _TIME,
    "include_subtree_usage": checks.boolean,
    "page_size": checks.number(1, 1000),
    "cursor": checks.text,
    "selects": checks.list_of(checks.one_of(SELECTABLE)),
    "ai_search": checks.text,
    "sem_filter": checks.text,
}

_READ: dict[str, Check] = {"project_id": checks.uuid, "start_time": _TIME, "selects": _QUERY["selects"]}

_CONDITIONS: dict[str, Callable[[Any, Run], bool]] = {
    "ids": lambda run_ids, run: not run_ids or run.id in run_ids,
    "trace_id": lambda trace_id, run: run.trace_id == trace_id,
    "run_type": lambda run_type, run: run.run_type == run_type.lower(),
    "is_root": lambda is_root, run: run.is_root is is_root,
    "has_error": lambda has_error, run: (run.error is not None) is has_error,
    "reference_examples": lambda example_ids, run: not example_ids or run.reference_example_id in example_ids,
}


def query(context: Context, request: Request) -> Response:
    """Serve a page of runs, the newest first."""
    refuse_before_v2(context)
    body = checks.check_body(request.json(), _QUERY, nulls=False)
    _refuse_search(request, body)
    page_size = body.get("page_size", _DEFAULT_PAGE_SIZE)
    page = context.faults.apply_to_page(request, _page(context, body, page_size), body.get("cursor"), page_size)
    rows = V2Rows(context.workspace, request.base_url, subtree=body.get("include_subtree_usage", False))
    result: dict[str, Any] = {"items": rows.write(page.runs, body.get("selects") or _DEFAULT_SELECTS)}
    if page.cursor is not None:
        result["next_cursor"] = page.cursor
    return json_response(result)


def read(context: Context, request: Request, run_id: str) -> Response:
    """Serve a run by its id."""
    refuse_before_v2(context)
    parameters = checks.check_query(request, _READ, lists=("selects",))
    if "project_id" not in parameters:
        raise invalid_field("project_id", "Field required", kind="missing", where="query")
    run = context.workspace.runs.get(uuid_in_path(run_id, "run_id"))
    if run is None or run.project_id != parameters["project_id"]:
        missing = "run not found: resource not found"
        raise Refusal(404, missing, body={"error": missing})
    rows = V2Rows(context.workspace, request.base_url, subtree=False)
    return json_response(rows.write([run], parameters.get("selects") or _DEFAULT_SELECTS)[0])


def _page(context: Context, body: Mapping[str, Any], page_size: int) -> Page:
    workspace = context.workspace
    project_ids = _project_ids(context, body)
    filters = _filters(context, body)
    conditions: list[Predicate] = [
        *(partial(matches, body[name]) for name, matches in _CONDITIONS.items() if name in body),
        *filters.predicates,
    ]
    keys = merge_timelines(
        workspace.timelines(project_ids, filters.root_starts),
        _bounds(context, body, project_ids),
        newest_first=True,
        after=decode_cursor(body["cursor"]) if body.get("cursor") else None,
    )
    runs = (workspace.runs[run_id] for _, run_id in keys)
    matching_runs = (run for run in runs if all(condition(run) for condition in conditions))
    return fill_page(matching_runs, page_size, last_cursor=context.settings.last_cursor)


def _project_ids(context: Context, body: Mapping[str, Any]) -> list[str]:
    project_ids: list[str] = body.get("project_ids") or []
    dataset = body.get("reference_dataset_id")
    if bool(project_ids) is (dataset is not None):
        raise Refusal(400, "invalid request: exactly one of project_ids and reference_dataset_id is required")
    projects = context.workspace.projects
    if dataset is not None:
        return [project.id for project in projects.values() if project.reference_dataset_id == dataset]
    if any(project_id not in projects for project_id in project_ids):
        raise Refusal(404, "session not found")
    return project_ids


def _bounds(context: Context, body: Mapping[str, Any], project_ids: list[str]) -> Bounds:
    now = context.workspace.now()
    low = body.get("min_start_time")
    if low is None and "reference_dataset_id" in body:
        low = min((context.workspace.projects[project_id].start_time for project_id in project_ids), default=None)
    elif low is None:
        low = now - _DEFAULT_WINDOW
    return start_bounds(low, body.get("max_start_time", now), context.settings.edges)


def _filters(context: Context, body: Mapping[str, Any]) -> FilterConditions:
    window = FeedbackWindow(body.get("min_feedback_modified_at"), body.get("max_feedback_modified_at"))
    filters = compile_filters(body, context.workspace, Dialect.V2, window)
    if not window.is_open and not filters.uses_feedback:
        raise Refusal(400, "invalid request: bounds on feedback need at least one feedback condition in a filter")
    return filters


def refuse_before_v2(context: Context) -> None:
    """Refuse v2 on a release that has none."""
    if not context.settings.has_v2:
        raise Refusal(404, "Not Found", body={"detail": "Not Found"})


def _refuse_search(request: Request, body: Mapping[str, Any]) -> None:
    """Refuse searches in plain language, as a deployment without such searches does."""
    for name in ("ai_search", "sem_filter"):
        if name in body:
            if "text/event-stream" not in request.headers.get("accept", ""):
                raise Refusal(406, f"invalid request: {name} needs Accept: text/event-stream")
            raise Refusal(501, f"{name} is not available on this deployment")
