"""The view ``threads``: a row is one conversation up to the window's end; a window holds those with a turn in it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

from airflow_langsmith.api.feedback import FeedbackPagination
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import AFTER_ROOT, BEGINNING, RunQuery, bounded
from airflow_langsmith.api.records import Page, Run
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.filters import THREAD_KEYS, and_, in_
from airflow_langsmith.views import spending
from airflow_langsmith.views.columns import IDS, THREAD, Column, Rows, json_of
from airflow_langsmith.views.feedback import score_of
from airflow_langsmith.views.reading import each_run
from airflow_langsmith.views.roots import about_roots, assemble
from airflow_langsmith.views.traces import VIEW as TRACES
from airflow_langsmith.views.traces import Trace
from airflow_langsmith.views.view import PageReader, View
from airflow_langsmith.windows import TimeWindow

MAX_THREADS = 50  # at a time, with the payloads of their turns

_Scores = Mapping[str, Sequence[float | None]]


class Thread:
    """
    A conversation: its turns, each a trace, oldest first.

    ``scores`` has the feedback on the turns, by key: the score of each piece, None for a piece without.
    """

    def __init__(self, thread_id: str, turns: list[Trace], scores: _Scores) -> None:
        self.thread_id = thread_id
        self.turns = sorted(turns, key=lambda turn: (turn.root.start_time, turn.root.dotted_order or ""))
        self.scores = scores
        roots = [turn.root for turn in self.turns]
        self.first, self.last = roots[0], roots[-1]
        self.trace_ids = [root.id for root in roots]
        self.end_time = max((root.end_time for root in roots if root.end_time), default=None)
        self.duration_seconds = self.end_time and (self.end_time - self.first.start_time).total_seconds()
        self.errored_turns = [root.status for root in roots].count("error")
        self.last_error = next((root.error for root in reversed(roots) if root.error), None)
        self.run_count = sum(turn.run_types.total() for turn in self.turns)
        self.missing_payloads = set().union(*(turn.missing_payloads for turn in self.turns))

    def total(self, name: str) -> Any:
        """Return the tokens or dollars of all turns; dollars are None if no run reports any."""
        totals = [total for turn in self.turns if (total := turn.total(name)) is not None]
        return sum(totals) if totals else None


@dataclass(frozen=True)
class Threads(View):
    """
    The view of threads: whole conversations up to the end of the window, each at its newest turn in the window.

    A cursor that reads earlier turns does not know yet which threads have later ones. The rows that it reads of them
    are left out.
    """

    row_is_run = False
    reads_more_than_runs = True
    row_grows = True
    reading_fields = ("end_time", "thread_id")

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query about roots that belong to a thread, under any of its names."""
        return about_roots(super().narrow(query)).also(in_("metadata_key", THREAD_KEYS))

    def reader(self, query: RunQuery, negotiator: VersionNegotiator, is_exported: Callable[[str], bool]) -> PageReader:
        """Return a reader of the threads that have a turn on a page, and none on a page before."""
        threads_of: defaultdict[Pagination, set[str]] = defaultdict(set)
        secret = token_bytes()

        def key(thread_id: str) -> str:  # not the id, which may be an address: rows wait on the local disk with keys
            return blake2b(thread_id.encode(), key=secret).hexdigest()

        def batches(pages: Pagination, page: Page) -> Iterator[Flow[Rows]]:
            known = threads_of[pages]
            threads = dict.fromkeys(run.thread_id for run in page.runs if run.thread_id)
            new = [thread for thread in threads if thread not in known and not is_exported(key(thread))]
            known.update(new)
            for first in range(0, len(new), MAX_THREADS):
                yield self._rows_of_threads(new[first : first + MAX_THREADS], query, negotiator, key)

        return batches

    def _rows_of_threads(
        self, thread_ids: list[str], query: RunQuery, negotiator: VersionNegotiator, key: Callable[[str], str]
    ) -> Flow[Rows]:
        turns_in_threads = str(and_(in_("metadata_key", THREAD_KEYS), in_("metadata_value", thread_ids)))
        turns_query = RunQuery(
            project=query.project,
            window=TimeWindow(BEGINNING, query.end),
            run_filter=RunFilter(is_root=True, filter=turns_in_threads),
            fields=tuple(sorted({*TRACES.fields, "thread_id", "dotted_order"})),
            payloads=query.payloads,
        )
        roots: list[Run] = []
        yield from each_run(turns_query, negotiator, roots.append)
        roots = [root for root in roots if root.thread_id in thread_ids]
        below = replace(
            turns_query,
            window=TimeWindow(BEGINNING, bounded(query.end + AFTER_ROOT, "end")),
            run_filter=RunFilter(trace_filter=turns_in_threads),
            fields=Trace.child_fields,
        )
        turns: dict[str | None, list[Trace]] = {thread_id: [] for thread_id in thread_ids}
        for trace in (yield from assemble(roots, Trace, below, negotiator)):
            turns[trace.root.thread_id].append(trace)
        has_stats = any(column.name == "feedback_stats" for column in self.columns)
        scores = (yield from _scores(roots, query, negotiator)) if has_stats else {}
        threads = [Thread(id_, turns[id_], scores.get(id_, {})) for id_ in thread_ids if turns[id_]]
        return replace(self.rows(threads), keys=[key(thread.thread_id) for thread in threads])


def _scores(roots: Sequence[Run], query: RunQuery, negotiator: VersionNegotiator) -> Flow[dict[str, _Scores]]:
    """
    Read the feedback on roots: thread -> key -> the score of each piece.

    It is counted piece by piece, because ``feedback_stats`` of a run does not count every piece.
    """
    threads = {root.id: root.thread_id for root in roots if root.feedback_stats is not None}
    scores: dict[str, Any] = defaultdict(lambda: defaultdict(list))
    pages = FeedbackPagination(negotiator.backoff, project=query.project, run_ids=tuple(threads))
    while not pages.done:
        for piece in (yield from pages.next_page()):
            if thread_id := threads.get(piece.run_id or ""):
                scores[thread_id][piece.key].append(score_of(piece))
    return scores


def _feedback_stats(thread: Thread) -> Any:
    stats = {}
    for key, scores in sorted(thread.scores.items()):
        known = [score for score in scores if score is not None]
        stats[key] = {"n": len(scores), "avg": math.fsum(known) / len(known) if known else None}
    return json_of(stats or None)


_STATS_MEANING = "How many pieces of feedback its turns have under each key, and the mean score; null if none."

VIEW = Threads(
    "threads",
    (
        Column("thread_id", "string", "The thread's id; the key of this view.", required=True, sources=THREAD),
        Column(
            *("project_id", "string", "The project's id.", "first.project.id"),
            repeats=True,
            required=True,
            sources=IDS,
        ),
        Column("project_name", "string", "The project's name.", "first.project.name", repeats=True),
        Column("turns", "integer", "How many turns (traces) it has so far.", lambda thread: len(thread.turns)),
        Column("start_time", "timestamp", "When its first turn started.", "first.start_time"),
        Column("last_start_time", "timestamp", "When its last turn started.", "last.start_time", required=True),
        Column("end_time", "timestamp", "When the last of its turns ended."),
        Column("duration_seconds", "number", "From the start of its first turn to end_time."),
        Column("first_inputs", "json", "The inputs of its first turn.", "first.inputs", sources=("inputs",)),
        Column("last_outputs", "json", "The outputs of its last turn.", "last.outputs", sources=("outputs",)),
        Column("status", "string", "The status of its last turn.", "last.status", repeats=True),
        Column("errored_turns", "integer", "How many turns failed."),
        Column("last_error", "string", "The error of the last turn that failed.", sources=("error",)),
        Column("run_count", "integer", "How many runs its turns have."),
        *spending.columns("each run of its turns"),
        Column("trace_ids", "strings", "The ids of its turns, oldest first.", sources=IDS),
        Column("feedback_stats", "json", _STATS_MEANING, _feedback_stats),
    ),
    key="thread_id",
    time="last_start_time",
)
