"""Public links to runs: ``PUT /runs/{id}/share`` creates a link, ``GET /public/{token}/run`` needs no key."""

from __future__ import annotations

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import uuid_in_path
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.v1.runs import deprecation, full_row, refuse_after_v1

__all__ = ["create", "read", "read_another", "shared"]


def create(context: Context, request: Request, run_id: str) -> Response:
    """Share a run by the token of the client."""
    body = checks.check_body(request.json(), {"run_id": checks.uuid, "share_token": checks.uuid}, nulls=True)
    run = context.workspace.runs.get(uuid_in_path(run_id, "run_id"))
    if run is None:
        raise Refusal(404, "Run not found")
    run.rest["share_token"] = body.get("share_token") or context.workspace.new_id()
    return json_response({"run_id": run.id, "share_token": run.rest["share_token"]})


def read(context: Context, request: Request, share_token: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Serve the shared run."""
    refuse_after_v1(context)
    return json_response(full_row(context, shared(context, share_token)), headers=deprecation(context))


def read_another(context: Context, request: Request, share_token: str, run_id: str) -> Response:  # noqa: ARG001
    """Serve another run of the same trace."""
    refuse_after_v1(context)
    run = context.workspace.runs.get(uuid_in_path(run_id, "id"))
    if run is None or run.trace_id != shared(context, share_token).trace_id:
        raise Refusal(404, "Run not found")
    return json_response(full_row(context, run), headers=deprecation(context))


def shared(context: Context, share_token: str) -> Run:
    """
    Return the run that is shared by a token.

    :raises Refusal: 404 if there is none.
    """
    token = uuid_in_path(share_token, "share_token")
    for run in context.workspace.runs.values():
        if run.rest.get("share_token") == token:
            return run
    raise Refusal(404, "Run not found")
