"""The questions beside the run query, each a flow: what the server is, its projects, their feedback."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.flow import Backoff, Flow, Request, exchange
from airflow_langsmith.api.query import instant
from airflow_langsmith.api.records import Feedback, Info, Project
from airflow_langsmith.api.wire import decode, moment

T = TypeVar("T")

LARGEST_PAGE = 100  # of projects and of feedback; more is refused
MOST_RUNS = 50  # ids in one question about feedback: they go into the address, which must not get too long

_INFO = msgspec.json.Decoder(Info)
_PROJECTS = msgspec.json.Decoder(list[Project])


class _WireFeedback(msgspec.Struct, kw_only=True):
    id: str
    key: str
    created_at: str | None = None
    modified_at: str | None = None
    score: float | bool | None = None
    value: Any = None
    comment: str | None = None
    correction: Any = None
    run_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    start_time: str | None = None
    is_root: bool | None = None
    feedback_source: dict[str, Any] | None = None
    feedback_group_id: str | None = None
    comparative_experiment_id: str | None = None
    extra: Any = None


_TIMES = ("created_at", "modified_at", "start_time")
_FEEDBACK = msgspec.json.Decoder(list[_WireFeedback])


def read_info(backoff: Backoff) -> Flow[Info]:
    """Ask what the server is; needs no key."""
    request = Request("GET", "/api/v1/info", about="which version is this server?", needs_key=False)
    return (yield from exchange(lambda: request, lambda body: decode(_INFO, body, request.about), backoff))


def find_project(name_or_id: str, backoff: Backoff) -> Flow[Project]:
    """
    Find a project by its exact name, or by its id.

    :raises ConfigurationError: where there is none: LangSmith answers that with an empty list.
    """
    for key in ("id", "name") if _is_uuid(name_or_id) else ("name",):
        found = yield from _projects({key: name_or_id, "limit": 1}, f"project {name_or_id!r}", backoff)
        if found:
            return found[0]
    raise ConfigurationError(
        f"LangSmith has no project {name_or_id!r} that this key can see. A retry will not help. Check the name (it is "
        "matched exactly, capitals too), the connection's workspace_id, and that host is the project's region."
    )


def list_projects(name_contains: str | None, offset: int, backoff: Backoff) -> Flow[list[Project]]:
    """List one page of projects."""
    asked = {"name_contains": name_contains, "offset": offset, "limit": LARGEST_PAGE}
    return (yield from _projects(asked, f"projects from {offset}", backoff))


def list_feedback(
    *,
    project: Project | None,
    run_ids: Iterable[str],
    keys: Iterable[str],
    created: tuple[datetime | None, datetime | None],
    offset: int,
    backoff: Backoff,
) -> Flow[list[Feedback]]:
    """List one page of feedback; ``created`` bounds its creation."""
    after, before = created
    params = {
        "session": project.id if project else None,
        "run": list(run_ids),
        "key": list(keys),
        "min_created_at": instant(after) if after else None,
        "max_created_at": instant(before) if before else None,
        "limit": LARGEST_PAGE,
        "offset": offset,
    }
    about = f"feedback from {offset}"
    request = Request("GET", "/api/v1/feedback", params=_given(params), about=about)
    wires = yield from exchange(lambda: request, lambda body: decode(_FEEDBACK, body, about), backoff)
    return [Feedback(**{**asdict(wire), **{name: moment(getattr(wire, name)) for name in _TIMES}}) for wire in wires]


def given_in(piece: Feedback, after: datetime | None, before: datetime | None) -> bool:
    """Tell whether a piece of feedback was created in ``[after, before)``; without a bound that side is open."""
    if after is None and before is None:
        return True
    at = piece.created_at
    return at is not None and (after is None or after <= at) and (before is None or at < before)


def _projects(params: dict[str, Any], about: str, backoff: Backoff) -> Flow[list[Project]]:
    request = Request("GET", "/api/v1/sessions", params=_given({**params, "include_stats": "false"}), about=about)
    return (yield from exchange(lambda: request, lambda body: decode(_PROJECTS, body, about), backoff))


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, [])}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
