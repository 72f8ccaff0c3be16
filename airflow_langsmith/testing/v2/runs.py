"""The v2 endpoints that read runs: ``POST /runs/query`` and ``GET /runs/{id}``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
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
    text,
    uuid,
    uuid_in_path,
)
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.criteria import FeedbackWindow, Predicate, filters_in, start_bounds
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.filters import Dialect
from airflow_langsmith.testing.paging import Page, fill_page, key_of
from airflow_langsmith.testing.records import RUN_TYPES
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.timeline import Bounds, scan
from airflow_langsmith.testing.v2.rows import SELECTABLE, V2Rows

__all__ = ["query", "read", "refuse_before_v2"]

_DEFAULT_SELECTS = ("ID",)
_DEFAULT_PAGE = 100
_DEFAULT_WINDOW = timedelta(days=1)

_moment = moment(zone_required=True)

_QUERY: dict[str, Check] = {
    "project_ids": each(uuid),
    "reference_dataset_id": uuid,
    "ids": each(uuid),
    "trace_id": uuid,
    "run_type": one_of(tuple(name.upper() for name in RUN_TYPES)),
    "is_root": boolean,
    "has_error": boolean,
    "reference_examples": each(uuid),
    "filter": text,
    "trace_filter": text,
    "tree_filter": text,
    "min_start_time": _moment,
    "max_start_time": _moment,
    "min_feedback_modified_at": _moment,
    "max_feedback_modified_at": _moment,
    "include_subtree_usage": boolean,
    "page_size": number(1, 1000),
    "cursor": text,
    "selects": each(one_of(SELECTABLE)),
    "ai_search": text,
    "sem_filter": text,
}

_READ: dict[str, Check] = {"project_id": uuid, "start_time": _moment, "selects": each(one_of(SELECTABLE))}


def query(context: Context, call: Call) -> Answer:
    """Serve one page of runs, the newest first."""
    refuse_before_v2(context)
    body = check_body(call.json(), _QUERY, nulls=False)
    _refuse_search(call, body)
    size = body.get("page_size", _DEFAULT_PAGE)
    page = context.faults.tamper(call, _page(context, body, size), body.get("cursor"), size)
    rows = V2Rows(context.workspace, call.base_url, subtree=body.get("include_subtree_usage", False))
    answer: dict[str, Any] = {"items": rows.write(page.runs, body.get("selects") or _DEFAULT_SELECTS)}
    if page.cursor is not None:
        answer["next_cursor"] = page.cursor
    return json_answer(answer)


def read(context: Context, call: Call, run_id: str) -> Answer:
    """Serve one run."""
    refuse_before_v2(context)
    asked = check_query(call, _READ, lists=("selects",))
    if "project_id" not in asked:
        raise invalid_field("project_id", "Field required", kind="missing", where="query")
    run = context.workspace.runs.get(uuid_in_path(run_id, "run_id"))
    if run is None or run.project_id != asked["project_id"]:
        missing = "run not found: resource not found"
        raise Refusal(404, missing, body={"error": missing})
    rows = V2Rows(context.workspace, call.base_url, subtree=False)
    return json_answer(rows.write([run], asked.get("selects") or _DEFAULT_SELECTS)[0])


def _page(context: Context, body: Mapping[str, Any], size: int) -> Page:
    workspace = context.workspace
    projects = _projects(context, body)
    conditions, roots = _conditions(context, body)
    keys = scan(
        workspace.timelines(projects, roots),
        _bounds(context, body, projects),
        newest_first=True,
        beyond=key_of(body["cursor"]) if body.get("cursor") else None,
    )
    return fill_page(
        (workspace.runs[run_id] for _, run_id in keys),
        lambda run: all(condition(run) for condition in conditions),
        size,
        last_cursor=context.settings.last_cursor,
    )


def _projects(context: Context, body: Mapping[str, Any]) -> list[str]:
    project_ids: list[str] = body.get("project_ids") or []
    dataset = body.get("reference_dataset_id")
    if bool(project_ids) is (dataset is not None):
        raise Refusal(400, "invalid request: exactly one of project_ids and reference_dataset_id is required")
    known = context.workspace.projects
    if dataset is not None:
        return [project.id for project in known.values() if project.reference_dataset_id == dataset]
    if any(project_id not in known for project_id in project_ids):
        raise Refusal(404, "session not found")
    return project_ids


def _bounds(context: Context, body: Mapping[str, Any], projects: list[str]) -> Bounds:
    now = context.workspace.now()
    low = body.get("min_start_time")
    if low is None and "reference_dataset_id" in body:
        low = min((context.workspace.projects[project].start_time for project in projects), default=None)
    elif low is None:
        low = now - _DEFAULT_WINDOW
    return start_bounds(low, body.get("max_start_time", now), context.settings.edges)


def _conditions(context: Context, body: Mapping[str, Any]) -> tuple[list[Predicate], Bounds]:
    """Give what a run has to be, and when its root has to have started."""
    window = FeedbackWindow(body.get("min_feedback_modified_at"), body.get("max_feedback_modified_at"))
    demands = filters_in(body, context.workspace, Dialect.V2, window)
    found = demands.predicates
    if not window.is_open and not demands.asks_feedback:
        raise Refusal(400, "invalid request: bounds on feedback need at least one feedback condition in a filter")
    if body.get("ids"):
        ids = frozenset(body["ids"])
        found.insert(0, lambda run: run.id in ids)
    if "trace_id" in body:
        found.insert(0, lambda run: run.trace_id == body["trace_id"])
    if "run_type" in body:
        found.insert(0, lambda run: run.run_type == body["run_type"].lower())
    if "is_root" in body:
        found.insert(0, lambda run: run.is_root is body["is_root"])
    if "has_error" in body:
        found.insert(0, lambda run: (run.error is not None) is body["has_error"])
    if body.get("reference_examples"):
        found.insert(0, lambda run: run.reference_example_id in body["reference_examples"])
    return found, demands.roots


def refuse_before_v2(context: Context) -> None:
    """Refuse everything of v2 on a release that has none."""
    if not context.settings.has_v2:
        raise Refusal(404, "Not Found", body={"detail": "Not Found"})


def _refuse_search(call: Call, body: Mapping[str, Any]) -> None:
    """Refuse searches in plain language, as a deployment without them does."""
    for name in ("ai_search", "sem_filter"):
        if name in body:
            if "text/event-stream" not in call.headers.get("accept", ""):
                raise Refusal(406, f"invalid request: {name} needs Accept: text/event-stream")
            raise Refusal(501, f"{name} is not available on this deployment")
