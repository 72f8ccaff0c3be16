"""The v1 endpoints to which clients log runs: one by one, in batches, and in the SDK's multipart form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_langsmith.testing.checks import uuid_in_path
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.feedback_ingest import create_feedback
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.ingest_form import parse_form
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.run_ingest import change_run, create_run

__all__ = ["batch", "create", "multipart", "update"]


def create(context: Context, request: Request) -> Response:
    """Add a run."""
    create_run(context.workspace, request.json())
    return json_response({"message": "Run created"}, 202)


def update(context: Context, request: Request, run_id: str) -> Response:
    """Change a run."""
    change_run(context.workspace, uuid_in_path(run_id, "run_id"), request.json())
    return json_response({"message": "Run updated"}, 202)


def batch(context: Context, request: Request) -> Response:
    """Add and change runs."""
    body = request.json()
    _ingest(context, _runs(body, "post"), _runs(body, "patch"))
    return json_response({"message": "Runs batch ingested"}, 202)


def multipart(context: Context, request: Request) -> Response:
    """Add and change runs, and add feedback."""
    form = parse_form(request.headers.get("content-type", ""), request.content)
    _ingest(context, form.posts.values(), form.patches.values())
    for feedback in form.feedback:
        create_feedback(context.workspace, feedback)
    return json_response({"message": "Runs batch ingested"}, 202)


def _ingest(context: Context, posts: Iterable[Mapping[str, Any]], patches: Iterable[Mapping[str, Any]]) -> None:
    for post in sorted(posts, key=lambda run: str(run.get("dotted_order") or "").count(".")):
        create_run(context.workspace, post)
    for patch in patches:
        if "id" not in patch:
            raise invalid_field("id", "Field required", kind="missing")
        change_run(context.workspace, str(patch["id"]), patch)


def _runs(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    runs = body.get(name) or []
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise Refusal(422, "Input should be a valid list", loc=("body", name))
    return runs
