"""The endpoints of exports, schedules and their runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.bulk.records import BulkExport, ExportRun, body_of
from airflow_langsmith.testing.bulk.requests import read_export_request
from airflow_langsmith.testing.checks import Check, check_query, uuid_in_path
from airflow_langsmith.testing.conditions import FeedbackWindow, compile_filters
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.filters import Dialect
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.refusals import Refusal, invalid_field

__all__ = ["cancel", "create", "find", "find_runs", "find_runs_of_schedule", "read", "read_run", "refuse_without_plan"]

_PAGE: dict[str, Check] = {
    "limit": checks.in_query(checks.number(1, 1000)),
    "offset": checks.in_query(checks.number(0)),
}


def find(context: Context, request: Request) -> Response:
    """List exports and schedules."""
    page = _page(request, context.bulk.by_age, newest_first=context.bulk.behaviour.newest_first)
    return json_response([_body(context, export) for export in page])


def create(context: Context, request: Request) -> Response:
    """Create an export, or a schedule. Nothing tells two equal requests apart: they are two exports."""
    refuse_without_plan(context)
    compression = "gzip" if context.settings.self_hosted else "zstandard"
    fields = read_export_request(request.json(), context.bulk.behaviour, default_compression=compression)
    if fields.bulk_export_destination_id not in context.bulk.destinations:
        raise Refusal(404, "Bulk export destination not found")
    if fields.session_id is not None and fields.session_id not in context.workspace.projects:
        raise Refusal(404, "Session not found")
    compile_filters({"filter": fields.filter}, context.workspace, Dialect.V1, FeedbackWindow())
    _refuse_above_limits(context, is_schedule=fields.interval_hours is not None)
    body = _body(context, context.bulk.create(fields))
    context.bulk.advance()  # it reads the data as they are now
    return json_response(body)


def read(context: Context, request: Request, export_id: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Serve an export by its id."""
    return json_response(_body(context, _export(context, export_id)))


def cancel(context: Context, request: Request, export_id: str) -> Response:
    """Cancel an export or a schedule. An export that has ended is 400."""
    export = _export(context, export_id)
    checks.check_body(request.json(), {"status": checks.one_of(("Cancelled",))}, nulls=True)
    if export.has_ended:
        raise Refusal(400, f"Cannot cancel a bulk export with status {export.status}")
    context.bulk.cancel(export)
    return json_response(_body(context, export))


def find_runs(context: Context, request: Request, export_id: str) -> Response:
    """List the runs of an export. It has none before it is running."""
    export = _export(context, export_id)
    return json_response([_run_body(context, export, run) for run in _page(request, export.runs)])


def read_run(context: Context, request: Request, export_id: str, run_id: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Serve a run of an export by its id."""
    export, run_id = _export(context, export_id), uuid_in_path(run_id, "run_id")
    for run in export.runs:
        if run.id == run_id:
            return json_response(_run_body(context, export, run))
    raise Refusal(404, "Bulk export run not found")


def find_runs_of_schedule(context: Context, request: Request) -> Response:
    """List the runs of all exports that a schedule has made."""
    source_id = check_query(request, {"source_bulk_export_id": checks.uuid}).get("source_bulk_export_id")
    if source_id is None:
        raise invalid_field("source_bulk_export_id", "Field required", kind="missing", where="query")
    exports = [export for export in context.bulk.by_age if export.source_id == source_id]
    runs = [(export, run) for export in exports for run in export.runs]
    return json_response([_run_body(context, export, run) for export, run in _page(request, runs)])


def refuse_without_plan(context: Context) -> None:
    """Refuse a creation if the plan has no Bulk Export."""
    if not context.bulk.behaviour.has_plan:
        raise Refusal(403, "Bulk exports are not available on the plan of this organization")


def _refuse_above_limits(context: Context, *, is_schedule: bool) -> None:
    bulk, behaviour = context.bulk, context.bulk.behaviour
    max_creations, max_schedules = behaviour.max_creations_per_hour, behaviour.max_schedules
    hour_ago = context.workspace.now() - timedelta(hours=1)
    if max_creations is not None and bulk.created_since(hour_ago) >= max_creations:
        raise Refusal(429, f"Limit of {max_creations} bulk exports per hour exceeded")
    if is_schedule and max_schedules is not None and bulk.active_schedules >= max_schedules:
        raise Refusal(429, f"Limit of {max_schedules} active scheduled bulk exports exceeded")


def _export(context: Context, export_id: str) -> BulkExport:
    export = context.bulk.exports.get(uuid_in_path(export_id, "bulk_export_id"))
    if export is None:
        raise Refusal(404, "Bulk export not found")
    return export


def _page(request: Request, items: list[Any], *, newest_first: bool = False) -> list[Any]:
    query = check_query(request, _PAGE)
    offset = query.get("offset", 0)
    return (items[::-1] if newest_first else items)[offset : offset + query.get("limit", len(items))]


def _body(context: Context, export: BulkExport) -> dict[str, Any]:
    return body_of(export.fields(context.workspace.id), context.bulk.behaviour)


def _run_body(context: Context, export: BulkExport, run: ExportRun) -> dict[str, Any]:
    return body_of(run.fields(export, context.bulk.behaviour), context.bulk.behaviour)
