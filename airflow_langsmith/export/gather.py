"""From roots to records: what a view of traces wants of the runs below them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from airflow_langsmith.api import LangSmithClient, Run, RunQuery
from airflow_langsmith.api.filters import and_, gte, lt
from airflow_langsmith.api.query import AFTER_ROOT, BEFORE_ROOT
from airflow_langsmith.views import Below, Record


def gather(client: LangSmithClient, below: Below, query: RunQuery, roots: Sequence[Run]) -> list[Record]:
    """
    Make the records of a page of roots.

    The runs below are found through their root's start, so they come whenever they started themselves: after the
    window's end, or a little before the root, by a clock that was ahead.
    """
    if not roots:
        return []
    records = {root.id: below.record(root) for root in roots}
    first, last = min(root.start_time for root in roots), max(root.start_time for root in roots)
    narrowed = [filter_ for filter_ in (query.filter, query.trace_filter) if filter_]
    whole = RunQuery(
        project=query.project,
        start=first - BEFORE_ROOT,
        end=last + AFTER_ROOT,
        fields=below.fields,
        run_type=below.run_type,
        trace_filter=str(and_(gte("start_time", first), lt("start_time", last + timedelta(microseconds=1)), *narrowed)),
        tree_filter=query.tree_filter,
    )
    for run in client.runs(whole):
        record = records.get(run.trace_id or "")
        if record is not None:
            record.add(run)
    return [records[root.id] for root in roots]
