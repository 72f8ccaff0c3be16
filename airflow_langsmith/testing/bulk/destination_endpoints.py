"""The endpoints of destinations. They never answer credentials."""

from __future__ import annotations

from airflow_langsmith.testing.bulk.destinations import change_destination, create_destination
from airflow_langsmith.testing.bulk.export_endpoints import refuse_without_plan
from airflow_langsmith.testing.bulk.records import Destination, body_of
from airflow_langsmith.testing.bulk.requests import check_destination, check_destination_change
from airflow_langsmith.testing.checks import uuid_in_path
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.refusals import Refusal

__all__ = ["create", "find", "read", "update"]


def find(context: Context, request: Request) -> Response:  # noqa: ARG001 (an endpoint)
    """List all destinations."""
    return json_response([_body(context, destination) for destination in context.bulk.destinations.values()])


def create(context: Context, request: Request) -> Response:
    """Create a destination whose bucket can be written."""
    refuse_without_plan(context)
    fields = check_destination(request.json())
    return json_response(_body(context, create_destination(context.bulk, context.workspace, fields)))


def read(context: Context, request: Request, destination_id: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Serve a destination by its id."""
    return json_response(_body(context, _destination(context, destination_id)))


def update(context: Context, request: Request, destination_id: str) -> Response:
    """Change the credentials or the role of a destination."""
    destination = _destination(context, destination_id)
    change_destination(context.bulk, context.workspace, destination, check_destination_change(request.json()))
    return json_response(_body(context, destination))


def _destination(context: Context, destination_id: str) -> Destination:
    destination = context.bulk.destinations.get(uuid_in_path(destination_id, "destination_id"))
    if destination is None:
        raise Refusal(404, "Bulk export destination not found")
    return destination


def _body(context: Context, destination: Destination) -> dict[str, object]:
    return body_of(destination.fields(context.workspace.id), context.bulk.behaviour)
