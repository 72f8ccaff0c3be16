"""The conditions v1 and v2 share: bounds on the start time, and the three filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.filters import Dialect, Filter, compile_filter
from airflow_langsmith.testing.moments import micros
from airflow_langsmith.testing.records import Feedback, Run
from airflow_langsmith.testing.settings import Edges
from airflow_langsmith.testing.timeline import Bounds
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["Demands", "FeedbackWindow", "Predicate", "filters_in", "start_bounds", "within"]

Predicate = Callable[[Run], bool]


@dataclass(frozen=True, slots=True)
class FeedbackWindow:
    """Which feedback the feedback conditions of a v2 filter speak of: modified from ``low`` to before ``high``."""

    low: datetime | None = None
    high: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether all feedback counts."""
        return self.low is None and self.high is None

    def holds(self, feedback: Feedback) -> bool:
        """Judge one feedback."""
        after = self.low is None or feedback.modified_at >= self.low
        return after and (self.high is None or feedback.modified_at < self.high)


@dataclass(frozen=True, slots=True)
class Demands:
    """What the filters of a request demand of a run, and when the root of its trace has to have started."""

    predicates: list[Predicate]
    roots: Bounds
    asks_feedback: bool


def start_bounds(low: datetime | None, high: datetime | None, edges: Edges) -> Bounds:
    """Read a pair of bounds, as the deployment treats a run exactly on them."""
    return Bounds(
        None if low is None else micros(low) + (edges == "exclusive"),
        None if high is None else micros(high) + (edges == "inclusive"),
    )


def within(moment: datetime | None, high: datetime, edges: Edges) -> bool:
    """Whether an instant lies below an upper bound; none at all lies nowhere."""
    if moment is None:
        return False
    return moment <= high if edges == "inclusive" else moment < high


def filters_in(body: Mapping[str, Any], workspace: Workspace, dialect: Dialect, window: FeedbackWindow) -> Demands:
    """Compile the filters of a request into predicates on single runs."""

    def feedback_of(run: Run) -> list[Feedback]:
        found = workspace.feedback_of(run.id)
        return found if window.is_open else [item for item in found if window.holds(item)]

    def compiled(name: str) -> Filter | None:
        return compile_filter(body[name], dialect, feedback_of) if body.get(name) is not None else None

    found: list[Predicate] = []
    own, of_root, of_tree = compiled("filter"), compiled("trace_filter"), compiled("tree_filter")
    if own is not None:
        found.append(own.matches)
    if of_root is not None:
        found.append(_root_passes(of_root.matches, workspace))
    if of_tree is not None:
        found.append(_tree_passes(of_tree.matches, workspace))
    return Demands(
        found,
        of_root.starts if of_root is not None else Bounds(),
        any(part is not None and part.asks_feedback for part in (own, of_root, of_tree)),
    )


def _root_passes(matches: Predicate, workspace: Workspace) -> Predicate:
    def judge(trace_id: str) -> bool:
        root = workspace.traces[trace_id].root
        return root is not None and matches(root)

    return _once_per_trace(judge)


def _tree_passes(matches: Predicate, workspace: Workspace) -> Predicate:
    return _once_per_trace(lambda trace_id: any(matches(run) for run in workspace.traces[trace_id].runs.values()))


def _once_per_trace(judge: Callable[[str], bool]) -> Predicate:
    verdicts: dict[str, bool] = {}

    def passes(run: Run) -> bool:
        if run.trace_id not in verdicts:
            verdicts[run.trace_id] = judge(run.trace_id)
        return verdicts[run.trace_id]

    return passes
