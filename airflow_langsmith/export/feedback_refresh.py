"""Late feedback: what was given or changed in a window, and the rows it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback

IDS_AT_ONCE = 100  # in one query: v1 takes them in the filter, which must not get too long


def touched(client: LangSmithClient, query: RunQuery, lookback: timedelta) -> Iterator[Feedback]:
    """
    List the feedback that was given in the window of a query, or given up to ``lookback`` before and changed in it.

    LangSmith lists feedback by when it was given, in both API versions, and tells when it last changed.
    """
    given = client.feedback(
        project=query.project, run_ids=query.run_filter.run_ids, created=(query.start - lookback, query.end)
    )
    for piece in given:
        if any(at is not None and query.start <= at < query.end for at in (piece.created_at, piece.modified_at)):
            yield piece


def refreshed(client: LangSmithClient, query: RunQuery, lookback: timedelta) -> list[RunQuery]:
    """Write the queries for the runs that this feedback is about, as far as they started since ``lookback`` before."""
    ids = sorted({piece.run_id for piece in touched(client, query, lookback) if piece.run_id})
    since = query.start - lookback
    return [
        query.within(since, query.end).narrowed(run_ids=tuple(ids[first : first + IDS_AT_ONCE]))
        for first in range(0, len(ids), IDS_AT_ONCE)
    ]
