"""The v1 endpoints that read runs: ``POST /runs/query``, its validator, and ``GET /runs/{id}``."""

from __future__ import annotations

from collections.abc import Mapping
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
    page_limit,
    spelt,
    text,
    uuid,
    uuid_in_path,
)
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.criteria import FeedbackWindow, Predicate, filters_in, start_bounds, within
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.filters import Dialect
from airflow_langsmith.testing.paging import Page, fill_page, key_of
from airflow_langsmith.testing.records import RUN_TYPES, Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.timeline import Bounds, Timeline, scan
from airflow_langsmith.testing.v1.rows import DEFAULT_SELECT, SELECTABLE, V1Rows

__all__ = ["CRITERIA", "deprecation", "matching", "query", "read", "refuse_without_clickhouse", "validate", "whole"]

_DEPRECATED = {"Deprecation": "true", "Sunset": "Sun, 31 Jan 2027 00:00:00 GMT"}
_SCOPES = ("session", "id", "parent_run", "trace", "reference_example")
_READ_TOO = ("inputs_s3_urls", "outputs_s3_urls", "s3_urls")
_LARGEST_PAGE = 100
_UNSUPPORTED = ("query", "search_filter")  # plain-language search: no stand-in can do that

_moment = moment(zone_required=False)

CRITERIA: dict[str, Check] = {
    "id": each(uuid),
    "trace": uuid,
    "parent_run": uuid,
    "run_type": one_of(RUN_TYPES),
    "session": each(uuid),
    "reference_example": each(uuid),
    "execution_order": number(1, 1),
    "start_time": _moment,
    "end_time": _moment,
    "error": boolean,
    "query": text,
    "filter": text,
    "trace_filter": text,
    "tree_filter": text,
    "is_root": boolean,
    "data_source_type": one_of(("current", "historical", "lite", "root_lite", "runs_feedbacks_rmt_wide")),
    "skip_pagination": boolean,
    "search_filter": text,
    "use_experimental_search": boolean,
}

_QUERY = {
    **CRITERIA,
    "cursor": text,
    "limit": page_limit(_LARGEST_PAGE),
    "select": each(one_of(SELECTABLE)),
    "order": one_of(("asc", "desc")),
    "skip_prev_cursor": boolean,
}

_READ: dict[str, Check] = {
    "session_id": uuid,
    "start_time": _moment,
    "exclude_s3_stored_attributes": spelt(boolean),
    "exclude_serialized": spelt(boolean),
    "include_messages": spelt(boolean),
}


def query(context: Context, call: Call) -> Answer:
    """Serve one page of runs."""
    refuse_without_clickhouse(context)
    body = check_body(call.json(), _QUERY, nulls=True)
    page = _page(context, body)
    page = context.faults.tamper(call, page, body.get("cursor"), body.get("limit", _LARGEST_PAGE))
    rows = V1Rows(context.workspace, context.settings.v1_costs)
    select = body.get("select", DEFAULT_SELECT)
    return json_answer(
        {
            "runs": [rows.write(run, select) for run in page.runs],
            "cursors": {"next": page.cursor, "prev": None},
            "search_cursors": None,
            "parsed_query": None,
        },
        headers=deprecation(context),
    )


def validate(context: Context, call: Call) -> Answer:
    """Say whether a query would be accepted, without running it."""
    refuse_without_clickhouse(context)
    try:
        body = check_body(call.json(), _QUERY, nulls=True)
        filters_in(body, context.workspace, Dialect.V1, FeedbackWindow())
    except Refusal as refusal:
        field = str(refusal.loc[-1]) if refusal.loc else "filter"
        return json_answer({"valid": False, "errors": [{"field": field, "message": refusal.detail}]})
    return json_answer({"valid": True, "errors": []})


def read(context: Context, call: Call, run_id: str) -> Answer:
    """Serve one run."""
    if not context.settings.has_v1_queries:
        raise Refusal(404, "Not Found")
    asked = check_query(call, _READ)
    run = context.workspace.runs.get(uuid_in_path(run_id, "run_id"))
    if run is None or asked.get("session_id", run.project_id) != run.project_id:
        raise Refusal(404, "Run not found")
    return json_answer(whole(context, run), headers=deprecation(context))


def whole(context: Context, run: Run) -> dict[str, Any]:
    """Write a run with everything a single read has."""
    row = V1Rows(context.workspace, context.settings.v1_costs).write(run, (*DEFAULT_SELECT, *_READ_TOO))
    return {**row, "child_run_ids": None, "execution_order": 1}


def matching(context: Context, body: Mapping[str, Any]) -> tuple[list[Timeline], Bounds, list[Predicate]]:
    """Work out where to look for the runs of a query, and how to know them."""
    if all(not body.get(scope) for scope in _SCOPES):
        scopes = "'session', 'id', 'parent_run', 'trace' or 'reference_example'"
        raise Refusal(400, f"At least one of {scopes} must be specified")
    for name in _UNSUPPORTED:
        if name in body:
            raise Refusal(501, f"{name!r} is not available on this deployment")
    demands = filters_in(body, context.workspace, Dialect.V1, FeedbackWindow())
    if body.get("id"):  # documented: ids ignore every other filter
        return [_timeline_of(context, body["id"])], Bounds(), []
    conditions = [*_conditions(context, body), *demands.predicates]
    return _timelines(context, body, demands.roots), _bounds(context, body), conditions


def _page(context: Context, body: Mapping[str, Any]) -> Page:
    timelines, bounds, conditions = matching(context, body)
    whole_trace = "trace" in body and not body.get("id")
    limit = None if whole_trace else body.get("limit", _LARGEST_PAGE)
    beyond = key_of(body["cursor"]) if "cursor" in body and not whole_trace else None
    newest_first = body.get("order", "desc") == "desc"
    runs = context.workspace.runs
    keys = scan(timelines, bounds, newest_first=newest_first, beyond=beyond)
    return fill_page(
        (runs[run_id] for _, run_id in keys),
        lambda run: all(condition(run) for condition in conditions),
        limit,
        last_cursor=context.settings.last_cursor,
    )


def _timelines(context: Context, body: Mapping[str, Any], roots: Bounds) -> list[Timeline]:
    if "trace" in body:
        trace = context.workspace.traces.get(body["trace"])
        return [Timeline.of(run.key for run in trace.runs.values())] if trace else []
    if body.get("session"):
        return context.workspace.timelines(body["session"][:1], roots)  # only the first is honoured
    return context.workspace.timelines(roots=roots)


def _timeline_of(context: Context, run_ids: list[str]) -> Timeline:
    runs = context.workspace.runs
    return Timeline.of(runs[run_id].key for run_id in dict.fromkeys(run_ids) if run_id in runs)


def _bounds(context: Context, body: Mapping[str, Any]) -> Bounds:
    high = body.get("end_time") if context.settings.v1_end_time == "start" else None
    return start_bounds(body.get("start_time"), high, context.settings.edges)


def _conditions(context: Context, body: Mapping[str, Any]) -> list[Predicate]:
    edges, wanted = context.settings.edges, dict(body)
    found: list[Predicate] = []
    if "trace" in wanted and wanted.get("session"):
        found.append(lambda run: run.project_id == wanted["session"][0])
    if "end_time" in wanted and context.settings.v1_end_time == "end":
        found.append(lambda run: within(run.end_time, wanted["end_time"], edges))
    if "parent_run" in wanted:
        found.append(lambda run: run.parent_run_id == wanted["parent_run"])
    if "run_type" in wanted:
        found.append(lambda run: run.run_type == wanted["run_type"])
    if wanted.get("reference_example"):
        found.append(lambda run: run.reference_example_id in wanted["reference_example"])
    if "error" in wanted:
        found.append(lambda run: (run.error is not None) is wanted["error"])
    if "is_root" in wanted:
        found.append(lambda run: run.is_root is wanted["is_root"])
    if "execution_order" in wanted:
        found.append(_is_root)
    return found


def _is_root(run: Run) -> bool:
    return run.is_root


def refuse_without_clickhouse(context: Context) -> None:
    """Refuse a v1 query where this deployment has none."""
    if not context.settings.has_v1_queries:
        raise Refusal(404, "Not Found")
    if not context.settings.serves_v1_queries:
        raise Refusal(501, "This endpoint is not available on this deployment: use POST /v2/runs/query")


def deprecation(context: Context) -> dict[str, str]:
    """Write the headers of an address that will be removed, if there is something in its place."""
    return _DEPRECATED if context.settings.has_v2 else {}
