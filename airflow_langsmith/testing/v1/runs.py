"""The v1 endpoints that read runs: ``POST /runs/query``, its validator, and ``GET /runs/{id}``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import Check, uuid_in_path
from airflow_langsmith.testing.conditions import FeedbackWindow, Predicate, compile_filters, start_bounds
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.filters import Dialect
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.pages import Page, decode_cursor, fill_page
from airflow_langsmith.testing.records import RUN_TYPES, Run, Trace
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.timeline import Bounds, Timeline, merge_timelines
from airflow_langsmith.testing.v1.rows import DEFAULT_SELECT, SELECTABLE, V1Rows

__all__ = [
    "CRITERIA",
    "deprecation",
    "full_row",
    "matching_runs",
    "query",
    "read",
    "refuse_after_v1",
    "refuse_without_clickhouse",
    "validate",
]

_DEPRECATED = {"Deprecation": "true", "Sunset": "Sun, 31 Jan 2027 00:00:00 GMT"}
_SCOPES = ("session", "id", "parent_run", "trace", "reference_example")
_URL_FIELDS = ("inputs_s3_urls", "outputs_s3_urls", "s3_urls")
_MAX_PAGE_RUNS = 100
_UNSUPPORTED = ("query", "search_filter")  # searches in plain language

_TIME = checks.time(zone_required=False)

CRITERIA: dict[str, Check] = {
    "id": checks.list_of(checks.uuid),
    "trace": checks.uuid,
    "parent_run": checks.uuid,
    "run_type": checks.one_of(RUN_TYPES),
    "session": checks.list_of(checks.uuid),
    "reference_example": checks.list_of(checks.uuid),
    "execution_order": checks.number(1, 1),
    "start_time": _TIME,
    "end_time": _TIME,
    "error": checks.boolean,
    "query": checks.text,
    "filter": checks.text,
    "trace_filter": checks.text,
    "tree_filter": checks.text,
    "is_root": checks.boolean,
    "data_source_type": checks.one_of(("current", "historical", "lite", "root_lite", "runs_feedbacks_rmt_wide")),
    "skip_pagination": checks.boolean,
    "search_filter": checks.text,
    "use_experimental_search": checks.boolean,
}

_QUERY = {
    **CRITERIA,
    "cursor": checks.text,
    "limit": checks.page_limit(_MAX_PAGE_RUNS),
    "select": checks.list_of(checks.one_of(SELECTABLE)),
    "order": checks.one_of(("asc", "desc")),
    "skip_prev_cursor": checks.boolean,
}

_READ: dict[str, Check] = {
    "session_id": checks.uuid,
    "start_time": _TIME,
    "exclude_s3_stored_attributes": checks.in_query(checks.boolean),
    "exclude_serialized": checks.in_query(checks.boolean),
    "include_messages": checks.in_query(checks.boolean),
}

_CONDITIONS: dict[str, Callable[[Any, Run], bool]] = {
    "parent_run": lambda parent_run_id, run: run.parent_run_id == parent_run_id,
    "run_type": lambda run_type, run: run.run_type == run_type,
    "reference_example": lambda example_ids, run: not example_ids or run.reference_example_id in example_ids,
    "error": lambda has_error, run: (run.error is not None) is has_error,
    "is_root": lambda is_root, run: run.is_root is is_root,
    "execution_order": lambda _, run: run.is_root,
}


def query(context: Context, request: Request) -> Response:
    """Serve a page of runs."""
    refuse_without_clickhouse(context)
    body = checks.check_body(request.json(), _QUERY, nulls=True)
    limit = body.get("limit", _MAX_PAGE_RUNS)
    page = context.faults.apply_to_page(request, _page(context, body), body.get("cursor"), limit)
    rows = V1Rows(context.workspace, context.settings.v1_costs)
    select = body.get("select", DEFAULT_SELECT)
    return json_response(
        {
            "runs": [rows.write(run, select) for run in page.runs],
            "cursors": {"next": page.cursor, "prev": None},
            "search_cursors": None,
            "parsed_query": None,
        },
        headers=deprecation(context),
    )


def validate(context: Context, request: Request) -> Response:
    """Check a query without running it."""
    refuse_without_clickhouse(context)
    try:
        body = checks.check_body(request.json(), _QUERY, nulls=True)
        compile_filters(body, context.workspace, Dialect.V1, FeedbackWindow())
    except Refusal as refusal:
        field = str(refusal.loc[-1]) if refusal.loc else "filter"
        return json_response({"valid": False, "errors": [{"field": field, "message": refusal.detail}]})
    return json_response({"valid": True, "errors": []})


def read(context: Context, request: Request, run_id: str) -> Response:
    """Serve a run by its id."""
    refuse_after_v1(context)
    parameters = checks.check_query(request, _READ)
    run = context.workspace.runs.get(uuid_in_path(run_id, "run_id"))
    if run is None or parameters.get("session_id", run.project_id) != run.project_id:
        raise Refusal(404, "Run not found")
    return json_response(full_row(context, run), headers=deprecation(context))


def full_row(context: Context, run: Run) -> dict[str, Any]:
    """Write a run with all fields of a single read."""
    row = V1Rows(context.workspace, context.settings.v1_costs).write(run, (*DEFAULT_SELECT, *_URL_FIELDS))
    return {**row, "child_run_ids": None, "execution_order": 1}


def matching_runs(
    context: Context, body: Mapping[str, Any], *, newest_first: bool = True, cursor: str | None = None
) -> Iterator[Run]:
    """Yield the runs of a query that come after a cursor."""
    if all(not body.get(scope) for scope in _SCOPES):
        scopes = "'session', 'id', 'parent_run', 'trace' or 'reference_example'"
        raise Refusal(400, f"At least one of {scopes} must be specified")
    for name in _UNSUPPORTED:
        if name in body:
            raise Refusal(501, f"{name!r} is not available on this deployment")
    runs = context.workspace.runs
    filters = compile_filters(body, context.workspace, Dialect.V1, FeedbackWindow())
    conditions, bounds = [*_conditions(context, body), *filters.predicates], _bounds(context, body)
    if body.get("id"):  # documented: ids ignore every other filter
        timelines = [Timeline.of(runs[run_id].key for run_id in dict.fromkeys(body["id"]) if run_id in runs)]
        conditions, bounds = [], Bounds()
    elif "trace" in body:
        trace = context.workspace.traces.get(body["trace"], Trace())
        timelines = [Timeline.of(run.key for run in trace.runs.values())]
    else:  # LangSmith reads the first project only
        timelines = context.workspace.timelines(body.get("session", [])[:1] or None, filters.root_starts)
    after = None if cursor is None else decode_cursor(cursor)
    keys = merge_timelines(timelines, bounds, newest_first=newest_first, after=after)
    candidates = (runs[run_id] for _, run_id in keys)
    return (run for run in candidates if all(condition(run) for condition in conditions))


def _page(context: Context, body: Mapping[str, Any]) -> Page:
    is_trace = "trace" in body and not body.get("id")  # a whole trace is one page
    cursor = None if is_trace else body.get("cursor")
    runs = matching_runs(context, body, newest_first=body.get("order", "desc") == "desc", cursor=cursor)
    limit = None if is_trace else body.get("limit", _MAX_PAGE_RUNS)
    return fill_page(runs, limit, last_cursor=context.settings.last_cursor)


def _bounds(context: Context, body: Mapping[str, Any]) -> Bounds:
    high = body.get("end_time") if context.settings.v1_end_time == "start" else None
    return start_bounds(body.get("start_time"), high, context.settings.edges)


def _conditions(context: Context, body: Mapping[str, Any]) -> Iterator[Predicate]:
    yield from (partial(matches, body[name]) for name, matches in _CONDITIONS.items() if name in body)
    if "trace" in body and body.get("session"):
        yield lambda run: run.project_id == body["session"][0]
    if "end_time" in body and context.settings.v1_end_time == "end":
        end, is_inclusive = body["end_time"], context.settings.edges == "inclusive"
        yield lambda run: run.end_time is not None and (run.end_time < end or (is_inclusive and run.end_time == end))


def refuse_after_v1(context: Context) -> None:
    """Refuse a read of runs on a release without the v1 run methods."""
    if not context.settings.has_v1_queries:
        raise Refusal(404, "Not Found")


def refuse_without_clickhouse(context: Context) -> None:
    """Refuse a v1 query if this deployment has no such queries."""
    refuse_after_v1(context)
    if not context.settings.serves_v1_queries:
        raise Refusal(501, "This endpoint is not available on this deployment: use POST /v2/runs/query")


def deprecation(context: Context) -> dict[str, str]:
    """Return the headers of an endpoint that will be removed, if v2 replaces it."""
    return _DEPRECATED if context.settings.has_v2 else {}
