"""Views of traces: a trace is found by its root, and its row made of the root and of the runs below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.query import RunQuery, window_below
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import Expression, and_, gte, in_, lt
from airflow_langsmith.views.columns import Column
from airflow_langsmith.views.reading import each_run
from airflow_langsmith.views.runs import COLUMNS as RUNS
from airflow_langsmith.views.view import View


@dataclass(frozen=True)
class RootView(View):
    """
    A view whose rows are traces, and whose query is about their roots.

    ``record`` makes of a root what the columns read. The runs of its trace are added to it, newest first and the root
    too, those of ``child_type`` if there is one, with ``child_fields``.
    """

    record: ClassVar[type[Any]]
    child_fields: ClassVar[tuple[str, ...]]
    child_type: ClassVar[str | None] = None
    reads_more_than_runs = True

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query about roots."""
        return about_roots(super().narrow(query))

    def records(self, query: RunQuery, runs: list[Run], negotiator: VersionNegotiator) -> Flow[Sequence[Any]]:
        """
        Read the runs below the roots of a page.

        They are found by the start of their root, so they may start after the window's end, or a little before the
        root if its clock was ahead.
        """
        if not runs:
            return []
        first, last = min(root.start_time for root in runs), max(root.start_time for root in runs)
        run_filter = query.run_filter
        filters: list[Expression] = [gte("start_time", first), lt("start_time", last + timedelta(microseconds=1))]
        filters += filter(None, (run_filter.filter, run_filter.trace_filter))
        if run_filter.run_ids is not None:  # few, and far between
            filters.append(in_("id", [root.id for root in runs]))
        trace_filter = str(and_(*filters))
        below = RunQuery(
            project=query.project,
            window=window_below(first, last),
            run_filter=RunFilter(
                run_type=self.child_type, trace_filter=trace_filter, tree_filter=run_filter.tree_filter
            ),
            fields=self.child_fields,
            payloads=query.payloads,
        )
        return (yield from assemble(runs, self.record, below, negotiator))


def about_roots(query: RunQuery) -> RunQuery:
    """Return the query about roots alone, each of which stands for a trace."""
    if query.run_filter.is_root is False:
        raise ConfigurationError("is_root=False leaves no traces: a trace is found by its root.")
    return query.narrowed(is_root=True)


def assemble(
    roots: Sequence[Run], record: Callable[[Run], Any], below: RunQuery, negotiator: VersionNegotiator
) -> Flow[list[Any]]:
    """Make records of roots, and add the runs of a query to those of their traces."""
    records = {root.id: record(root) for root in roots}

    def add(run: Run) -> None:
        if run.trace_id in records:
            records[run.trace_id].add(run)

    yield from each_run(below, negotiator, add)
    return [records[root.id] for root in roots]


def of_root(name: str, meaning: str = "", **options: Any) -> Column:
    """Return a column of the view ``runs``, for the root of a trace."""
    column = next(column for column in RUNS if column.name == name)
    of = column.expression.replace("record.", "record.root.")
    return replace(column, meaning=meaning or column.meaning, of=of, default=True, **options)


ROOT_COLUMNS = (
    of_root("trace_id", "The trace's id, which is its root's; the key of this view.", required=True),
    of_root("project_id"),
    of_root("project_name"),
    of_root("thread_id"),
    of_root("name", "The root's name."),
    of_root("status", "The root's status: success, error or pending (not ended when it was read)."),
    of_root("start_time", "When the root started; decides the window."),
    of_root("end_time", "When the root ended; null while pending."),
)
