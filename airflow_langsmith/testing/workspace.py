"""The data of one workspace, indexed the ways the API reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from random import Random
from threading import RLock
from typing import Any
from uuid import UUID, uuid5

from airflow_langsmith.testing.records import Feedback, Project, Run, Trace
from airflow_langsmith.testing.timeline import ANY_TIME, Bounds, Timeline, merge_timelines

__all__ = ["Workspace"]

_NAMES = UUID("5f0d7f6e-5c6c-4b8e-9d55-1a2b3c4d5e6f")  # any constant: it turns names into ids


class Workspace:
    """
    Projects, runs and feedback. New ids come from a seed.

    Hold ``lock`` to read or write.
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
        self.early_changes: dict[str, dict[str, Any]] = {}  # changes of runs that have not arrived
        self._timelines: dict[str, Timeline] = {}
        self._feedback_of_run: dict[str, list[Feedback]] = {}

    def now(self) -> datetime:
        """Return the time of the stand-in's clock."""
        return datetime.now(UTC) if self._now is None else self._now().astimezone(UTC)

    def new_id(self) -> str:
        """Return the next id."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def shuffle(self, items: list[Any]) -> None:
        """Put items into a random order."""
        self._random.shuffle(items)

    def project_named(self, name: str) -> Project | None:
        """Return the project with a name."""
        return next((project for project in self.projects.values() if project.name == name), None)

    def ensure_project(self, name: str) -> Project:
        """Return the project with a name. Create it if it does not exist, as LangSmith does when a run arrives."""
        project = self.project_named(name)
        if project is None:
            project = Project(str(uuid5(_NAMES, f"project {self._seed} {name}")), name, self.now())
            self.add_project(project)
        return project

    def add_project(self, project: Project) -> None:
        """Add a project."""
        self.projects[project.id] = project

    def add_run(self, run: Run) -> None:
        """Add or replace a run."""
        old = self.runs.get(run.id)
        if old is not None and (old.trace_id, old.project_id, old.key) != (run.trace_id, run.project_id, run.key):
            self._remove_run(old)
            old = None
        self.runs[run.id] = run
        self.traces.setdefault(run.trace_id, Trace()).put(run)
        if old is None:
            self._timelines.setdefault(run.project_id, Timeline()).add(run.key)

    def _remove_run(self, run: Run) -> None:
        del self.runs[run.id]
        self.traces[run.trace_id].remove(run)
        self._timelines[run.project_id].discard(run.key)

    def timelines(self, project_ids: Collection[str] | None = None, root_starts: Bounds = ANY_TIME) -> list[Timeline]:
        """Return the timelines of projects, or of all, with the traces only whose root starts within the bounds."""
        projects = self._timelines.keys() if project_ids is None else dict.fromkeys(project_ids)
        if root_starts == ANY_TIME:
            return [self._timelines[name] for name in projects if name in self._timelines]
        keys = merge_timelines(list(self._timelines.values()), root_starts, newest_first=True)
        traces = {self.runs[run_id].trace_id for _, run_id in keys if self.runs[run_id].is_root}
        runs = (run for trace_id in traces for run in self.traces[trace_id].runs.values())
        return [Timeline.of(run.key for run in runs if run.project_id in projects)]

    def add_feedback(self, feedback: Feedback) -> None:
        """Add or replace feedback. Its run may arrive later."""
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
        """Return the feedback on a run."""
        return self._feedback_of_run.get(run_id, [])
