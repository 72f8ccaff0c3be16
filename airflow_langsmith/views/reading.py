"""Flows that views share: each run of a query, the feedback that changed in a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from airflow_langsmith.api.feedback import FeedbackPagination
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback, Run

MAX_RUN_IDS = 100  # in one query: v1 takes them in the filter, which must not get too long


def each_run(query: RunQuery, negotiator: VersionNegotiator, add: Callable[[Run], None]) -> Flow[None]:
    """Read a query page by page, and pass each run once to ``add``."""
    pages, ids = Pagination(query, negotiator), IdSet()
    while not pages.done:
        for run in ids.add_new((yield from pages.next_page()).runs):
            add(run)


def queries_of_runs(query: RunQuery, run_ids: Iterable[str]) -> list[RunQuery]:
    """Return the queries for these runs alone, a few at a time."""
    ids = tuple(run_ids)
    return [query.narrowed(run_ids=ids[start : start + MAX_RUN_IDS]) for start in range(0, len(ids), MAX_RUN_IDS)]


class ChangedFeedback:
    """
    The feedback that was given in the window of a query, or up to ``lookback`` before and changed in the window.

    LangSmith lists feedback by when it was given, in both API versions, and says when it last changed.
    """

    def __init__(self, query: RunQuery, lookback: timedelta, negotiator: VersionNegotiator) -> None:
        self._query = query
        self._pages = FeedbackPagination(
            negotiator.backoff,
            project=query.project,
            run_ids=query.run_filter.run_ids,
            created=(query.start - lookback, query.end),
        )

    @property
    def done(self) -> bool:
        """Whether all of it has been read."""
        return self._pages.done

    def next_page(self) -> Flow[list[Feedback]]:
        """Read the next page."""
        start, end = self._query.start, self._query.end
        return [
            piece
            for piece in (yield from self._pages.next_page())
            if any(time is not None and start <= time < end for time in (piece.created_at, piece.modified_at))
        ]
