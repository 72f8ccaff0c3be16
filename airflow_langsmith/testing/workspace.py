"""The data of one workspace, indexed the ways the API reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from random import Random
from threading import RLock
from typing import Any
from uuid import UUID, uuid5

from airflow_langsmith.testing.records import Feedback, Project, Run, Trace
from airflow_langsmith.testing.timeline import ANY_TIME, Bounds, Timeline, scan

__all__ = ["Workspace"]

_NAMES = UUID("5f0d7f6e-5c6c-4b8e-9d55-1a2b3c4d5e6f")  # any constant will do: it makes names into ids


class Workspace:
    """
    Projects, runs and feedback, with new ids drawn from a seed.

    Not safe by itself: hold ``lock`` while reading or writing.
    """

    def __init__(self, *, workspace_id: str | None, seed: int, now: Callable[[], datetime] | None) -> None:
        self.lock = RLock()
        self._random = Random(seed)  # noqa: S311 (ids of made-up data)
        self._seed = seed
        self._now = now
        self.id = workspace_id or str(uuid5(_NAMES, f"workspace {seed}"))
        self.projects: dict[str, Project] = {}
        self.runs: dict[str, Run] = {}
        self.traces: dict[str, Trace] = {}
        self.feedback: dict[str, Feedback] = {}
        self.early_changes: dict[str, dict[str, Any]] = {}  # of runs that have not arrived
        self._timelines: dict[str, Timeline] = {}
        self._feedback_of_run: dict[str, list[Feedback]] = {}

    def now(self) -> datetime:
        """Tell the time, by the clock the stand-in was given."""
        return datetime.now(UTC) if self._now is None else self._now().astimezone(UTC)

    def new_id(self) -> str:
        """Draw the next id."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def shuffle(self, items: list[Any]) -> None:
        """Bring items into the next order that is drawn."""
        self._random.shuffle(items)

    def project_named(self, name: str) -> Project | None:
        """Find a project by its exact name."""
        return next((project for project in self.projects.values() if project.name == name), None)

    def ensure_project(self, name: str) -> Project:
        """Find a project by name, or open it: LangSmith does so when the first run arrives."""
        project = self.project_named(name)
        if project is None:
            project = Project(str(uuid5(_NAMES, f"project {self._seed} {name}")), name, self.now())
            self.add_project(project)
        return project

    def add_project(self, project: Project) -> None:
        """Open a project."""
        self.projects[project.id] = project

    def add_run(self, run: Run) -> None:
        """Store a run; one with the same id is replaced."""
        old = self.runs.get(run.id)
        if old is not None and (old.trace_id, old.project_id, old.key) != (run.trace_id, run.project_id, run.key):
            self.remove_run(old)
            old = None
        self.runs[run.id] = run
        trace = self.traces.setdefault(run.trace_id, Trace())
        trace.runs[run.id] = run
        trace.changed()
        if old is None:
            self._timelines.setdefault(run.project_id, Timeline()).add(run.key)

    def remove_run(self, run: Run) -> None:
        """Take a run out of every index, for good or before it changes."""
        del self.runs[run.id]
        trace = self.traces[run.trace_id]
        del trace.runs[run.id]
        trace.changed()
        self._timelines[run.project_id].discard(run.key)

    def timelines(self, project_ids: Collection[str] | None = None, roots: Bounds = ANY_TIME) -> list[Timeline]:
        """Give the timelines of some projects, or of all; of only those traces whose root starts within bounds."""
        projects = self._timelines.keys() if project_ids is None else dict.fromkeys(project_ids)
        if roots == ANY_TIME:
            return [self._timelines[name] for name in projects if name in self._timelines]
        near = scan(list(self._timelines.values()), roots, newest_first=True, beyond=None)
        traces = {self.runs[run_id].trace_id for _, run_id in near if self.runs[run_id].is_root}
        runs = (run for trace_id in traces for run in self.traces[trace_id].runs.values())
        return [Timeline.of(run.key for run in runs if run.project_id in projects)]

    def add_feedback(self, feedback: Feedback) -> None:
        """Store feedback; the run it is about may arrive later."""
        old = self.feedback.get(feedback.id)
        if old is not None and old.run_id is not None:
            self._feedback_of_run[old.run_id].remove(old)
        self.feedback[feedback.id] = feedback
        if feedback.run_id is not None:
            self._feedback_of_run.setdefault(feedback.run_id, []).append(feedback)

    def remove_feedback(self, feedback: Feedback) -> None:
        """Delete feedback."""
        del self.feedback[feedback.id]
        if feedback.run_id is not None:
            self._feedback_of_run[feedback.run_id].remove(feedback)

    def feedback_of(self, run_id: str) -> list[Feedback]:
        """List the feedback on one run."""
        return self._feedback_of_run.get(run_id, [])
