"""The v1 endpoints of feedback. v2 has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import Check, uuid_in_path
from airflow_langsmith.testing.conditions import start_bounds
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.feedback_ingest import change_feedback, create_feedback
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.records import Feedback
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.settings import FeedbackOrder
from airflow_langsmith.testing.times import to_micros
from airflow_langsmith.testing.v1.feedback_rows import feedback_row

__all__ = ["create", "delete", "find", "read", "update"]

_LISTS = ("run", "key", "session", "source", "user")
_TIME = checks.time(zone_required=False)

_FIND: dict[str, Check] = {
    "run": checks.list_of(checks.uuid),
    "key": checks.list_of(checks.text),
    "session": checks.list_of(checks.uuid),
    "source": checks.list_of(checks.one_of(("api", "model", "app", "auto_eval"))),
    "user": checks.list_of(checks.uuid),
    "has_comment": checks.in_query(checks.boolean),
    "has_score": checks.in_query(checks.boolean),
    "level": checks.one_of(("run", "session")),
    "min_created_at": _TIME,
    "max_created_at": _TIME,
    "comparative_experiment_id": checks.uuid,
    "feedback_thread_id": checks.text,
    "include_user_names": checks.in_query(checks.boolean),
    "offset": checks.in_query(checks.number(0)),
    "limit": checks.in_query(checks.number(1, 100)),
}


def find(context: Context, request: Request) -> Response:
    """List feedback, in the order of the settings."""
    query = checks.check_query(request, _FIND, _LISTS)
    order = context.settings.feedback_order
    feedback = sorted(
        filter(_condition(context, query), context.workspace.feedback.values()),
        key=lambda feedback: _rank(feedback, order),
        reverse=order in ("newest", "modified"),
    )
    if order == "none":
        context.workspace.shuffle(feedback)
    offset = query.get("offset", 0)
    limit = min(query.get("limit", 100), context.settings.largest_list)
    return json_response([feedback_row(context.workspace, item) for item in feedback[offset : offset + limit]])


def _rank(feedback: Feedback, order: FeedbackOrder) -> tuple[int, str]:
    if order == "id":
        return 0, feedback.id
    return to_micros(feedback.modified_at if order == "modified" else feedback.created_at), feedback.id


def read(context: Context, request: Request, feedback_id: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Serve feedback by its id."""
    return json_response(feedback_row(context.workspace, _feedback(context, feedback_id)))


def create(context: Context, request: Request) -> Response:
    """Store feedback. Its run may arrive later."""
    body = request.json()
    if all(body.get(name) is None for name in ("run_id", "trace_id", "session_id")):
        raise invalid_field("run_id", "One of run_id, trace_id and session_id is required")
    return json_response(feedback_row(context.workspace, create_feedback(context.workspace, body)))


def update(context: Context, request: Request, feedback_id: str) -> Response:
    """Change feedback."""
    feedback = _feedback(context, feedback_id)
    return json_response(feedback_row(context.workspace, change_feedback(context.workspace, feedback, request.json())))


def delete(context: Context, request: Request, feedback_id: str) -> Response:  # noqa: ARG001 (an endpoint)
    """Delete feedback."""
    context.workspace.remove_feedback(_feedback(context, feedback_id))
    return json_response({"message": "Feedback deleted"})


def _condition(context: Context, query: dict[str, Any]) -> Callable[[Feedback], bool]:
    bounds = start_bounds(query.get("min_created_at"), query.get("max_created_at"), context.settings.edges)

    def matches(feedback: Feedback) -> bool:
        source = feedback.feedback_source or {}
        created = to_micros(feedback.created_at)
        return (
            (bounds.low is None or created >= bounds.low)
            and (bounds.high is None or created < bounds.high)
            and feedback.run_id in query.get("run", (feedback.run_id,))
            and feedback.key in query.get("key", (feedback.key,))
            and feedback.session_id in query.get("session", (feedback.session_id,))
            and source.get("type") in query.get("source", (source.get("type"),))
            and source.get("user_id") in query.get("user", (source.get("user_id"),))
            and query.get("has_comment", bool(feedback.comment)) is bool(feedback.comment)
            and query.get("has_score", feedback.score is not None) is (feedback.score is not None)
            and ("level" not in query or (query["level"] == "session") is (feedback.run_id is None))
            and feedback.comparative_experiment_id
            == query.get("comparative_experiment_id", feedback.comparative_experiment_id)
            and feedback.feedback_thread_id == query.get("feedback_thread_id", feedback.feedback_thread_id)
        )

    return matches


def _feedback(context: Context, feedback_id: str) -> Feedback:
    feedback = context.workspace.feedback.get(uuid_in_path(feedback_id, "feedback_id"))
    if feedback is None:
        raise Refusal(404, "Feedback not found")
    return feedback
