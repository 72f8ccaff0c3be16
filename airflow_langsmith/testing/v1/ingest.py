"""The v1 endpoints that take runs in: one by one, in batches, and as the SDK's multipart form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_langsmith.testing.bodies import uuid_in_path
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.feedback_intake import take_feedback
from airflow_langsmith.testing.intake import change_run, take_run
from airflow_langsmith.testing.multipart import unpack
from airflow_langsmith.testing.refusals import Refusal, invalid_field

__all__ = ["batch", "create", "multipart", "update"]


def create(context: Context, call: Call) -> Answer:
    """Take in one run."""
    take_run(context.workspace, call.json())
    return json_answer({"message": "Run created"}, 202)


def update(context: Context, call: Call, run_id: str) -> Answer:
    """Change one run."""
    change_run(context.workspace, uuid_in_path(run_id, "run_id"), call.json())
    return json_answer({"message": "Run updated"}, 202)


def batch(context: Context, call: Call) -> Answer:
    """Take in runs and changes of runs."""
    body = call.json()
    _ingest(context, _runs(body, "post"), _runs(body, "patch"))
    return json_answer({"message": "Runs batch ingested"}, 202)


def multipart(context: Context, call: Call) -> Answer:
    """Take in runs, changes of runs, and feedback."""
    shipment = unpack(call.headers.get("content-type", ""), call.content)
    _ingest(context, shipment.posts.values(), shipment.patches.values())
    for feedback in shipment.feedback:
        take_feedback(context.workspace, feedback)
    return json_answer({"message": "Runs batch ingested"}, 202)


def _ingest(context: Context, posts: Iterable[Mapping[str, Any]], patches: Iterable[Mapping[str, Any]]) -> None:
    for post in sorted(posts, key=lambda run: str(run.get("dotted_order") or "").count(".")):
        take_run(context.workspace, post)
    for patch in patches:
        if "id" not in patch:
            raise invalid_field("id", "Field required", kind="missing")
        change_run(context.workspace, str(patch["id"]), patch)


def _runs(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    runs = body.get(name) or []
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise Refusal(422, "Input should be a valid list", loc=("body", name))
    return runs
