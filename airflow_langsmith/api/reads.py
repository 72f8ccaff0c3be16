"""The questions beside the run query, each a flow: what the server is, its projects, their feedback."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from airflow_langsmith.api.decoding import decode, field, finite, moment
from airflow_langsmith.api.flow import LARGEST_RUN, Backoff, Flow, Request, with_retries
from airflow_langsmith.api.listing import Listing
from airflow_langsmith.api.query import MARGIN, bounded
from airflow_langsmith.api.records import Feedback, Info, Project
from airflow_langsmith.errors import ConfigurationError, LangSmithError
from airflow_langsmith.filters import instant
from airflow_langsmith.messages import did_you_mean

T = TypeVar("T")

LARGEST_PAGE = 100  # of projects and of feedback; more is refused
LISTED = 10  # names of projects in the error about one that is not there
CLOCKS = timedelta(minutes=1)  # by which LangSmith's clock may be ahead of ours
MOST_RUNS = 50  # ids in one question about feedback: they go into the address, which must not get too long

_INFO = msgspec.json.Decoder(Info)
_PROJECTS = msgspec.json.Decoder(list[Project])


class _WireFeedback(msgspec.Struct, kw_only=True):
    id: str
    key: str
    created_at: str | None = None
    modified_at: str | None = None
    score: float | bool | str | None = None  # text where it was NaN or infinite
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
    feedback_thread_id: str | None = None
    extra: Any = None


_TIMES = ("created_at", "modified_at", "start_time")


_FEEDBACK = msgspec.json.Decoder(list[_WireFeedback], float_hook=finite)


def read_info(backoff: Backoff) -> Flow[Info]:
    """Ask what the server is; needs no key."""
    request = Request("GET", "/api/v1/info", about="which version is this server?", needs_key=False)
    return (yield from with_retries(lambda: request, lambda body: decode(_INFO, body, request.about), backoff))


def find_project(name_or_id: str, backoff: Backoff) -> Flow[Project]:
    """
    Find a project by its exact name, or by its id.

    :raises ConfigurationError: where there is none: LangSmith answers that with an empty list.
    """
    for key in ("id", "name") if _is_uuid(name_or_id) else ("name",):
        found = yield from _projects({key: name_or_id, "limit": 1}, f"project {name_or_id!r}", backoff)
        if found:
            return found[0]
    names = yield from _project_names(backoff)
    raise ConfigurationError(
        f"LangSmith has no project {name_or_id!r} that this key can see. {did_you_mean(name_or_id, names)} Check the "
        "name (it is matched exactly, capitals too), the connection's workspace_id, and that host is the project's "
        f"region. {_listed(names)}"
    )


def _project_names(backoff: Backoff) -> Flow[list[str]]:
    """Ask for the names of projects that may be meant; where that fails too, there are none."""
    try:
        page = yield from _projects(
            {"limit": LARGEST_PAGE, "reference_free": "true"}, "names of projects", replace(backoff, retries=0)
        )
    except LangSmithError:
        return []
    return [project.name for project in page]


def _listed(names: list[str]) -> str:
    """Write the first of the names."""
    more = ", ..." if len(names) > LISTED else ""
    return f"It can see {', '.join(map(repr, names[:LISTED]))}{more}." if names else ""


def list_projects(name_contains: str | None, backoff: Backoff) -> Listing[Project]:
    """Prepare to list projects, all or those whose name contains a text."""

    def ask(offset: int) -> Flow[list[Project]]:
        asked = {"name_contains": name_contains, "offset": offset, "limit": LARGEST_PAGE}
        return (yield from _projects(asked, f"projects from {offset}", backoff))

    return Listing(ask, "projects")


class FeedbackPagination:
    """
    All pages of some feedback: each piece once, created in ``[after, before)``; of no runs there is none.

    Feedback that is given after the walk began is left out: it would move the other pieces from page to page.
    """

    def __init__(
        self,
        backoff: Backoff,
        *,
        project: Project | None = None,
        run_ids: Sequence[str] | None = None,
        keys: Sequence[str] = (),
        created: tuple[datetime | None, datetime | None] = (None, None),
    ) -> None:
        self._backoff = backoff
        self._created = after, before = created
        latest = datetime.now(UTC) + CLOCKS if before is None else bounded(before, "created_before") + MARGIN
        self._asked = {
            "session": project.id if project else None,
            "key": list(keys),
            # Whether LangSmith's edges are in is unknown.
            "min_created_at": instant(bounded(after, "created_after") - MARGIN) if after else None,
            "max_created_at": instant(latest),
            "limit": LARGEST_PAGE,
        }
        ids = list(run_ids or ())
        groups = [ids[first : first + MOST_RUNS] for first in range(0, len(ids), MOST_RUNS)]
        self._groups = deque([[]] if run_ids is None else groups)
        self._listing = self._list(0)
        self.done = not self._groups

    def next_page(self) -> Flow[list[Feedback]]:
        """Read the next page."""
        wires = yield from self._listing.next_page()
        if self._listing.done:
            self._groups.popleft()
            self._listing = self._list(self._listing.largest)
        self.done = not self._groups
        return [piece for piece in map(_piece, wires) if _given_in(piece, *self._created)]

    def _list(self, largest: int) -> Listing[_WireFeedback]:
        return Listing(self._ask, "feedback", largest)

    def _ask(self, offset: int) -> Flow[list[_WireFeedback]]:
        about = f"feedback from {offset}"
        params = _given({**self._asked, "run": self._groups[0], "offset": offset})
        request = Request("GET", "/api/v1/feedback", params=params, about=about, largest=LARGEST_RUN)
        return (
            yield from with_retries(
                lambda: request, lambda body: decode(_FEEDBACK, body, about, levels=2), self._backoff
            )
        )


def _piece(wire: _WireFeedback) -> Feedback:
    score = None if isinstance(wire.score, str) else wire.score
    times = {name: field(moment, getattr(wire, name) or "", name, f"feedback {wire.id}") for name in _TIMES}
    return Feedback(**{**asdict(wire), "score": score, **times})


def _given_in(piece: Feedback, after: datetime | None, before: datetime | None) -> bool:
    """Tell whether a piece of feedback was created in ``[after, before)``; without a bound that side is open."""
    if after is None and before is None:
        return True
    at = piece.created_at
    return at is not None and (after is None or after <= at) and (before is None or at < before)


def _projects(params: dict[str, Any], about: str, backoff: Backoff) -> Flow[list[Project]]:
    request = Request("GET", "/api/v1/sessions", params=_given({**params, "include_stats": "false"}), about=about)
    return (yield from with_retries(lambda: request, lambda body: decode(_PROJECTS, body, about), backoff))


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, [])}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
