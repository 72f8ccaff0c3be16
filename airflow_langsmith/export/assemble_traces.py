"""From roots to records: what a view of traces wants of the runs below them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import AFTER_ROOT, BEFORE_ROOT, BEGINNING, RunQuery, bounded
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.filters import THREAD_KEYS, and_, gte, in_, lt
from airflow_langsmith.views import Below, Record
from airflow_langsmith.views.threads import ROOT_FIELDS, TURNS, Thread
from airflow_langsmith.views.traces import Trace
from airflow_langsmith.windows import TimeWindow


def gather(client: LangSmithClient, below: Below, query: RunQuery, roots: Sequence[Run]) -> list[Record]:
    """
    Make the records of a page of roots.

    The runs below are found through their root's start, so they come whenever they started themselves: after the
    window's end, or a little before the root, by a clock that was ahead.
    """
    if not roots:
        return []
    first, last = min(root.start_time for root in roots), max(root.start_time for root in roots)
    narrowed = [filter_ for filter_ in (query.run_filter.filter, query.run_filter.trace_filter) if filter_]
    if query.run_filter.run_ids is not None:  # few, and far between
        narrowed.append(str(in_("id", [root.id for root in roots])))
    around = and_(gte("start_time", first), lt("start_time", last + timedelta(microseconds=1)), *narrowed)
    whole = RunQuery(
        project=query.project,
        window=TimeWindow(bounded(first - BEFORE_ROOT, "start"), bounded(last + AFTER_ROOT, "end")),
        run_filter=RunFilter(
            run_type=below.run_type, trace_filter=str(around), tree_filter=query.run_filter.tree_filter
        ),
        fields=below.fields,
        payloads=query.payloads,
    )
    return _folded(client, below, whole, roots)


def gather_threads(
    client: LangSmithClient, query: RunQuery, thread_ids: Sequence[str], *, with_feedback: bool
) -> list[Thread]:
    """
    Make the records of some threads: all their turns up to the end of the window, whenever they began.

    Feedback is counted piece by piece, because ``feedback_stats`` does not count every piece.
    """
    if not thread_ids:
        return []
    these = str(and_(in_("metadata_key", THREAD_KEYS), in_("metadata_value", thread_ids)))
    everything = RunQuery(
        project=query.project,
        window=TimeWindow(BEGINNING, query.end),
        run_filter=RunFilter(is_root=True, filter=these),
        fields=ROOT_FIELDS,
        payloads=query.payloads,
    )
    roots = [root for root in client.runs(everything) if root.thread_id in thread_ids]
    below = replace(
        everything,
        window=TimeWindow(BEGINNING, bounded(query.end + AFTER_ROOT, "end")),
        run_filter=RunFilter(trace_filter=these),
        fields=TURNS.fields,
    )
    turns: dict[str, list[Trace]] = {thread_id: [] for thread_id in thread_ids}
    for root, record in zip(roots, _folded(client, TURNS, below, roots), strict=True):
        if isinstance(record, Trace) and root.thread_id:
            turns[root.thread_id].append(record)
    scores = _scores(client, query, roots) if with_feedback else {}
    return [Thread(thread_id, found, scores.get(thread_id, {})) for thread_id, found in turns.items() if found]


def _scores(client: LangSmithClient, query: RunQuery, roots: Sequence[Run]) -> dict[str, dict[str, list[float | None]]]:
    """List the feedback on roots: thread -> key -> the score of each piece."""
    threads = {root.id: root.thread_id for root in roots if root.feedback_stats is not None}
    scores: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for piece in client.feedback(project=query.project, run_ids=tuple(threads)):
        if thread_id := threads.get(piece.run_id or ""):
            scores[thread_id][piece.key].append(None if piece.score is None else float(piece.score))
    return scores


def _folded(client: LangSmithClient, below: Below, query: RunQuery, roots: Sequence[Run]) -> list[Record]:
    """Add the runs of a query to the records of their roots."""
    records = {root.id: below.record(root) for root in roots}
    for run in client.runs(query):
        record = records.get(run.trace_id or "")
        if record is not None:
            record.add(run)
    return [records[root.id] for root in roots]
