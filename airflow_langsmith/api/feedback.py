"""Pieces of feedback, and the feedback stats of runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import asdict

from airflow_langsmith.api.decoding import decode, parse_field, parse_float, parse_time
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Backoff, Flow, Request, read_all, read_json
from airflow_langsmith.api.listing import Listing
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import DistinctRuns
from airflow_langsmith.api.query import MARGIN, RunQuery, bounded
from airflow_langsmith.api.records import Feedback, Project, Run
from airflow_langsmith.api.wire_run import Text
from airflow_langsmith.filters import eq, format_time, or_

if TYPE_CHECKING:  # as in Feedback
    Score: TypeAlias = Any
else:  # as it is decoded: text if it was NaN or infinite
    Score = float | bool | str | None

MAX_PAGE = 100  # pieces of feedback; more is refused
MAX_RUNS = 50  # ids in a request: they go into the address, which must not get too long
CLOCK_DRIFT = timedelta(minutes=1)  # by which LangSmith's clock may be ahead of ours


class FeedbackPagination:
    """
    All pages of some feedback: each piece once, created in ``[after, before)``; none if ``run_ids`` is empty.

    Feedback created after the pagination began is left out, because it would move the other pieces from page to page.
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
        latest = datetime.now(UTC) + CLOCK_DRIFT if before is None else bounded(before, "created_before") + MARGIN
        self._params = {
            "session": project.id if project else None,
            "key": list(keys),
            # Whether LangSmith includes its bounds is not documented.
            "min_created_at": format_time(bounded(after, "created_after") - MARGIN) if after else None,
            "max_created_at": format_time(latest),
            "limit": MAX_PAGE,
        }
        ids = list(run_ids or ())
        groups = [ids[first : first + MAX_RUNS] for first in range(0, len(ids), MAX_RUNS)]
        self._groups = deque([[]] if run_ids is None else groups)
        self._listing = Listing(self._read_page, "feedback")
        self.done = not self._groups

    def next_page(self) -> Flow[list[Feedback]]:
        """Read the next page."""
        wires = yield from self._listing.next_page()
        if self._listing.done:
            self._groups.popleft()
            self._listing = Listing(self._read_page, "feedback", self._listing.full_page)
        self.done = not self._groups
        return [piece for piece in map(_piece, wires) if self._is_in_bounds(piece.created_at)]

    def _read_page(self, offset: int) -> Flow[list[_WireFeedback]]:
        params = {**self._params, "run": self._groups[0], "offset": offset}
        purpose = f"feedback from {offset}"
        request = Request("GET", "/api/v1/feedback", params=params, purpose=purpose, max_bytes=MAX_RUN_BYTES)
        return (yield from read_json(request, _FEEDBACK, self._backoff, levels=2))

    def _is_in_bounds(self, created_at: datetime | None) -> bool:
        after, before = self._created
        if created_at is None:
            return after is before is None
        return (after is None or after <= created_at) and (before is None or created_at < before)


class FeedbackStats(msgspec.Struct):
    """
    What a run's ``feedback_stats`` say of one key: how many pieces, their mean score, how many of each label.

    ::

        {"user_score": {"n": 2, "avg": 0.5, "values": {}}, "verdict": {"n": 0, "avg": null, "values": {"good": 1}}}

    v1 counts only the pieces with a score, so ``n`` becomes the number of labels if that is larger. Neither counts a
    piece whose value is an object.
    """

    n: int | None = 0
    avg: float | str | None = None  # text if it was NaN or infinite, which becomes None
    values: dict[str, int] | None = None

    def __post_init__(self) -> None:
        """Count labels as well; drop a mean that is no number, because the pieces have the other scores."""
        self.avg = None if isinstance(self.avg, str) else self.avg
        self.n = max(self.n or 0, sum((self.values or {}).values()))

    @property
    def is_one_piece(self) -> bool:
        """Whether this is one piece with a score, or one with a label. Only the pieces show more."""
        return self.n == 1 and (self.avg is None) == bool(self.values)


def feedback_stats_by_run(
    query: RunQuery, keys: Iterable[str], negotiator: VersionNegotiator
) -> Flow[dict[str, dict[str, FeedbackStats]]]:
    """Return the feedback stats of each run that has feedback under one of the keys: run id -> key -> stats."""
    names = frozenset(keys)
    if not names:
        return {}
    has_feedback = or_(*(eq("feedback_key", key) for key in sorted(names)))
    narrowed = replace(query, fields=("id", "feedback_stats")).also(has_feedback)
    runs = yield from read_all(DistinctRuns(narrowed, negotiator))
    return {run.id: {key: stats for key, stats in _stats(run).items() if key in names} for run in runs}


def list_feedback(
    query: RunQuery, run_ids: Iterable[str], keys: Iterable[str], negotiator: VersionNegotiator
) -> Flow[list[Feedback]]:
    """List the feedback of these runs under these keys."""
    pages = FeedbackPagination(negotiator.backoff, project=query.project, run_ids=sorted(run_ids), keys=sorted(keys))
    return (yield from read_all(pages))


class _WireFeedback(Feedback, frozen=True, kw_only=True):
    created_at: Text = None
    modified_at: Text = None
    start_time: Text = None
    score: Score = None


_FEEDBACK = msgspec.json.Decoder(list[_WireFeedback], float_hook=parse_float)
_STATS = msgspec.json.Decoder(dict[str, FeedbackStats], float_hook=parse_float)
_TIMES = ("created_at", "modified_at", "start_time")


def _piece(wire: _WireFeedback) -> Feedback:
    score = None if isinstance(wire.score, str) else wire.score
    times = {name: parse_field(parse_time, getattr(wire, name) or "", name, f"feedback {wire.id}") for name in _TIMES}
    return Feedback(**{**asdict(wire), "score": score, **times})


def _stats(run: Run) -> dict[str, FeedbackStats]:
    return decode(_STATS, bytes(run.feedback_stats), f"feedback_stats of run {run.id}") if run.feedback_stats else {}
