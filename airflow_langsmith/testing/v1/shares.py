"""Public links to runs: ``PUT /runs/{id}/share`` makes one, ``GET /public/{token}/run`` reads by it, with no key."""

from __future__ import annotations

from airflow_langsmith.testing.bodies import check_body, uuid, uuid_in_path
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.v1.runs import deprecation, whole

__all__ = ["create", "read", "read_another", "shared"]


def create(context: Context, call: Call, run_id: str) -> Answer:
    """Share a run under the token that the client chose."""
    body = check_body(call.json(), {"run_id": uuid, "share_token": uuid}, nulls=True)
    run = context.workspace.runs.get(uuid_in_path(run_id, "run_id"))
    if run is None:
        raise Refusal(404, "Run not found")
    run.rest["share_token"] = body.get("share_token") or context.workspace.new_id()
    return json_answer({"run_id": run.id, "share_token": run.rest["share_token"]})


def read(context: Context, call: Call, share_token: str) -> Answer:  # noqa: ARG001  # an endpoint
    """Serve the shared run."""
    _refuse_after_v1(context)
    return json_answer(whole(context, shared(context, share_token)), headers=deprecation(context))


def read_another(context: Context, call: Call, share_token: str, run_id: str) -> Answer:  # noqa: ARG001
    """Serve another run of the shared run's trace."""
    _refuse_after_v1(context)
    run = context.workspace.runs.get(uuid_in_path(run_id, "id"))
    if run is None or run.trace_id != shared(context, share_token).trace_id:
        raise Refusal(404, "Run not found")
    return json_answer(whole(context, run), headers=deprecation(context))


def _refuse_after_v1(context: Context) -> None:
    if not context.settings.has_v1_queries:
        raise Refusal(404, "Not Found")


def shared(context: Context, share_token: str) -> Run:
    """
    Find the run that is shared by a token.

    :raises Refusal: 404 if there is none.
    """
    token = uuid_in_path(share_token, "share_token")
    for run in context.workspace.runs.values():
        if run.rest.get("share_token") == token:
            return run
    raise Refusal(404, "Run not found")
