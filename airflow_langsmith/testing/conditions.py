"""Conditions that v1 and v2 share: bounds on the start time, and the three filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.filters import Dialect, Filter, compile_filter
from airflow_langsmith.testing.records import Feedback, Run
from airflow_langsmith.testing.settings import Edges
from airflow_langsmith.testing.timeline import Bounds
from airflow_langsmith.testing.times import to_micros
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["FeedbackWindow", "FilterConditions", "Predicate", "compile_filters", "start_bounds"]

Predicate = Callable[[Run], bool]


@dataclass(frozen=True, slots=True)
class FeedbackWindow:
    """The feedback that a v2 filter means: modified from ``low`` to before ``high``."""

    low: datetime | None = None
    high: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether all feedback is in the window."""
        return self.low is None and self.high is None

    def contains(self, feedback: Feedback) -> bool:
        """Return whether feedback was modified in the window."""
        return (self.low is None or feedback.modified_at >= self.low) and (
            self.high is None or feedback.modified_at < self.high
        )


@dataclass(frozen=True, slots=True)
class FilterConditions:
    """The filters of a request, as predicates on a run and as bounds on the start of the root of its trace."""

    predicates: list[Predicate]
    root_starts: Bounds
    uses_feedback: bool


def start_bounds(low: datetime | None, high: datetime | None, edges: Edges) -> Bounds:
    """Return the bounds on the start time; ``edges`` decides about a run exactly on one."""
    return Bounds(
        None if low is None else to_micros(low) + (edges == "exclusive"),
        None if high is None else to_micros(high) + (edges == "inclusive"),
    )


def compile_filters(
    body: Mapping[str, Any], workspace: Workspace, dialect: Dialect, window: FeedbackWindow
) -> FilterConditions:
    """Compile ``filter``, ``trace_filter`` and ``tree_filter``."""

    def feedback_of(run: Run) -> list[Feedback]:
        return [feedback for feedback in workspace.feedback_of(run.id) if window.contains(feedback)]

    def root_matches(filter_: Filter, trace_id: str) -> bool:
        root = workspace.traces[trace_id].root
        return root is not None and filter_.matches(root)

    def any_run_matches(filter_: Filter, trace_id: str) -> bool:
        return any(map(filter_.matches, workspace.traces[trace_id].runs.values()))

    filters = {
        name: compile_filter(body[name], dialect, feedback_of)
        for name in ("filter", "trace_filter", "tree_filter")
        if body.get(name) is not None
    }
    predicates: list[Predicate] = []
    root_starts = Bounds()
    if "filter" in filters:
        predicates.append(filters["filter"].matches)
    if "trace_filter" in filters:
        predicates.append(_once_per_trace(root_matches, filters["trace_filter"]))
        root_starts = filters["trace_filter"].starts
    if "tree_filter" in filters:
        predicates.append(_once_per_trace(any_run_matches, filters["tree_filter"]))
    return FilterConditions(predicates, root_starts, any(filter_.uses_feedback for filter_ in filters.values()))


def _once_per_trace(matches: Callable[[Filter, str], bool], filter_: Filter) -> Predicate:
    results: dict[str, bool] = {}

    def run_matches(run: Run) -> bool:
        if run.trace_id not in results:
            results[run.trace_id] = matches(filter_, run.trace_id)
        return results[run.trace_id]

    return run_matches
