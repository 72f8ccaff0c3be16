"""Counting runs without reading them: how many there are, which have not ended, what feedback they have."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from airflow_langsmith.api.decoding import decode, finite
from airflow_langsmith.api.flow import Flow, with_retries
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.reads import FeedbackPagination
from airflow_langsmith.api.records import Feedback, Run
from airflow_langsmith.api.stats import question, read
from airflow_langsmith.errors import GONE, ApiError
from airflow_langsmith.filters import added, eq, or_

log = logging.getLogger(__name__)

STATS_RETRIES = 3  # at most, because pages of ids count as well


class Given(msgspec.Struct):
    """
    What a run's ``feedback_stats`` say of one key: how many pieces, their mean score, how many of each label.

    On v1 LangSmith counts the pieces with a score alone, so ``n`` becomes the number of labels where that is larger.
    Pieces with neither a score nor a label, whose value is an object, show in no number there.
    """

    n: int | None = 0
    avg: float | str | None = None  # text where it was NaN or infinite, which becomes None
    values: dict[str, int] | None = None

    def __post_init__(self) -> None:
        """Count labels, too, and take a mean that is no number for none: the pieces tell the other scores."""
        self.avg = None if isinstance(self.avg, str) else self.avg
        self.n = max(self.n or 0, sum((self.values or {}).values()))

    @property
    def is_one_piece(self) -> bool:
        """Whether this is one piece with a score, or one with a label: all else only the pieces themselves tell."""
        return self.n == 1 and (self.avg is None) == bool(self.values)


_STATS: msgspec.json.Decoder[dict[str, Given]] = msgspec.json.Decoder(dict[str, Given], float_hook=finite)


def count(query: RunQuery, negotiator: VersionNegotiator) -> Flow[int]:
    """
    Count runs: by one page of ids and, if there are more, by one question for their stats.

    A server without stats, or whose stats fail, is counted by all pages of ids. Stats may go with v1, and v2 has none.
    """
    walk, ids = Pagination(replace(query, fields=("id",)), negotiator), IdSet()
    total = len(ids.new_of((yield from walk.next_page()).runs))
    if not walk.done and negotiator.has_stats:
        try:
            backoff = replace(negotiator.backoff, retries=min(negotiator.backoff.retries, STATS_RETRIES))
            found = yield from with_retries(lambda: question(query), read, backoff)
        except GONE:
            negotiator.has_stats, found = False, None
        except ApiError as error:
            log.warning("Counting runs by their pages, because their stats failed: %s", error.cause)
            found = None
        if found is not None:
            return found
    while not walk.done:
        total += len(ids.new_of((yield from walk.next_page()).runs))
    return total


def pending(query: RunQuery, negotiator: VersionNegotiator) -> Flow[list[Run]]:
    """List the runs that have not ended, by id, name and start."""
    query = query.narrowed(filter=added(eq("status", "pending"), query.run_filter.filter))
    return (yield from _all(replace(query, fields=("id", "name", "start_time")), negotiator))


def judged(query: RunQuery, keys: Iterable[str], negotiator: VersionNegotiator) -> Flow[dict[str, dict[str, Given]]]:
    """Tell of each run that has feedback under some keys how much: run id -> key -> what was given."""
    wanted = frozenset(keys)
    if not wanted:
        return {}
    liked = or_(*(eq("feedback_key", key) for key in sorted(wanted)))
    asked = replace(query, fields=("id", "feedback_stats")).narrowed(filter=added(liked, query.run_filter.filter))
    runs = yield from _all(asked, negotiator)
    return {run.id: _given(run, wanted) for run in runs}


def pieces(
    query: RunQuery, run_ids: Iterable[str], keys: Iterable[str], negotiator: VersionNegotiator
) -> Flow[list[Feedback]]:
    """List the feedback of some runs under some keys, piece by piece, for 50 runs a request."""
    walk = FeedbackPagination(negotiator.backoff, project=query.project, run_ids=sorted(run_ids), keys=sorted(keys))
    found: list[Feedback] = []
    while not walk.done:
        found += yield from walk.next_page()
    return found


def _given(run: Run, wanted: frozenset[str]) -> dict[str, Given]:
    stats = decode(_STATS, bytes(run.feedback_stats), f"feedback_stats of run {run.id}") if run.feedback_stats else {}
    return {key: given for key, given in stats.items() if key in wanted}


def _all(query: RunQuery, negotiator: VersionNegotiator) -> Flow[list[Run]]:
    walk, ids = Pagination(query, negotiator), IdSet()
    runs: list[Run] = []
    while not walk.done:
        runs += ids.new_of((yield from walk.next_page()).runs)
    return runs
