"""The v1 endpoints of feedback; v2 has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_langsmith.testing.bodies import (
    Check,
    boolean,
    check_query,
    each,
    moment,
    number,
    one_of,
    spelt,
    text,
    uuid,
    uuid_in_path,
)
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.criteria import start_bounds
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.feedback_intake import change_feedback, take_feedback
from airflow_langsmith.testing.moments import micros, naive
from airflow_langsmith.testing.records import Feedback
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.settings import FeedbackOrder

__all__ = ["create", "delete", "find", "read", "update"]

_LISTS = ("run", "key", "session", "source", "user")
_moment = moment(zone_required=False)

_FIND: dict[str, Check] = {
    "run": each(uuid),
    "key": each(text),
    "session": each(uuid),
    "source": each(one_of(("api", "model", "app", "auto_eval"))),
    "user": each(uuid),
    "has_comment": spelt(boolean),
    "has_score": spelt(boolean),
    "level": one_of(("run", "session")),
    "min_created_at": _moment,
    "max_created_at": _moment,
    "comparative_experiment_id": uuid,
    "feedback_thread_id": text,
    "include_user_names": spelt(boolean),
    "offset": spelt(number(0)),
    "limit": spelt(number(1, 100)),
}


def find(context: Context, call: Call) -> Answer:
    """List feedback, the newest first unless the stand-in was told otherwise."""
    asked = check_query(call, _FIND, _LISTS)
    order = context.settings.feedback_order
    found = sorted(
        filter(_conditions(context, asked), context.workspace.feedback.values()),
        key=lambda feedback: _rank(feedback, order),
        reverse=order in ("newest", "modified"),
    )
    if order == "none":
        context.workspace.shuffle(found)
    offset = asked.get("offset", 0)
    limit = min(asked.get("limit", 100), context.settings.largest_list)
    return json_answer([_row(context, item) for item in found[offset : offset + limit]])


def _rank(feedback: Feedback, order: FeedbackOrder) -> tuple[int, str]:
    if order == "id":
        return 0, feedback.id
    return micros(feedback.modified_at if order == "modified" else feedback.created_at), feedback.id


def read(context: Context, call: Call, feedback_id: str) -> Answer:  # noqa: ARG001 (every endpoint is called alike)
    """Serve one feedback."""
    return json_answer(_row(context, _feedback(context, feedback_id)))


def create(context: Context, call: Call) -> Answer:
    """Store feedback; the run it is about may arrive later."""
    body = call.json()
    if all(body.get(name) is None for name in ("run_id", "trace_id", "session_id")):
        raise invalid_field("run_id", "One of run_id, trace_id and session_id is required")
    return json_answer(_row(context, take_feedback(context.workspace, body)))


def update(context: Context, call: Call, feedback_id: str) -> Answer:
    """Change feedback."""
    feedback = _feedback(context, feedback_id)
    return json_answer(_row(context, change_feedback(context.workspace, feedback, call.json())))


def delete(context: Context, call: Call, feedback_id: str) -> Answer:  # noqa: ARG001 (every endpoint is called alike)
    """Delete feedback."""
    context.workspace.remove_feedback(_feedback(context, feedback_id))
    return json_answer({"message": "Feedback deleted"})


def _conditions(context: Context, asked: dict[str, Any]) -> Callable[[Feedback], bool]:
    bounds = start_bounds(asked.get("min_created_at"), asked.get("max_created_at"), context.settings.edges)

    def passes(feedback: Feedback) -> bool:
        source = feedback.feedback_source or {}
        created = micros(feedback.created_at)
        return (
            (bounds.low is None or created >= bounds.low)
            and (bounds.high is None or created < bounds.high)
            and feedback.run_id in asked.get("run", (feedback.run_id,))
            and feedback.key in asked.get("key", (feedback.key,))
            and feedback.session_id in asked.get("session", (feedback.session_id,))
            and source.get("type") in asked.get("source", (source.get("type"),))
            and source.get("user_id") in asked.get("user", (source.get("user_id"),))
            and asked.get("has_comment", bool(feedback.comment)) is bool(feedback.comment)
            and asked.get("has_score", feedback.score is not None) is (feedback.score is not None)
            and ("level" not in asked or (asked["level"] == "session") is (feedback.run_id is None))
            and feedback.comparative_experiment_id
            == asked.get("comparative_experiment_id", feedback.comparative_experiment_id)
            and feedback.feedback_thread_id == asked.get("feedback_thread_id", feedback.feedback_thread_id)
        )

    return passes


def _feedback(context: Context, feedback_id: str) -> Feedback:
    feedback = context.workspace.feedback.get(uuid_in_path(feedback_id, "feedback_id"))
    if feedback is None:
        raise Refusal(404, "Feedback not found")
    return feedback


def _row(context: Context, feedback: Feedback) -> dict[str, Any]:
    run = context.workspace.runs.get(feedback.run_id or "")
    return {
        "id": feedback.id,
        "key": feedback.key,
        "created_at": naive(feedback.created_at),
        "modified_at": naive(feedback.modified_at),
        "score": feedback.score,
        "value": feedback.value,
        "comment": feedback.comment,
        "correction": feedback.correction,
        "run_id": feedback.run_id,
        "trace_id": feedback.trace_id,
        "session_id": feedback.session_id,
        "start_time": None if run is None else naive(run.start_time),
        "is_root": run is not None and run.is_root,
        "feedback_source": feedback.feedback_source,
        "feedback_group_id": feedback.feedback_group_id,
        "comparative_experiment_id": feedback.comparative_experiment_id,
        "extra": feedback.extra,
        "feedback_thread_id": feedback.feedback_thread_id,
    }
