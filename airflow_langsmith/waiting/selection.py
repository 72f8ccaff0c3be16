"""The runs that a watch looks at, in a form that another process can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.projects import find_project
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import suggest

_TIMES = ("start", "end", "closes")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    The runs of ``project`` that started in ``[start, end)``, ``narrowed`` by arguments of :class:`RunQuery`.

    ``closes`` is when the window is complete: its end plus the lag. As JSON it is flat::

        {"project": "shop", "start": "2026-03-01T00:00:00+00:00", "end": "2026-03-02T00:00:00+00:00",
         "closes": "2026-03-02T01:00:00+00:00", "is_root": True}

    :raises ConfigurationError: if the arguments make no query, before the first look.
    """

    project: str
    start: datetime
    end: datetime
    closes: datetime
    narrowed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the arguments."""
        self._query(Project(id="", name=self.project))

    def serialize(self) -> dict[str, Any]:
        """Return it as JSON."""
        narrowed = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.narrowed.items()
            if value is not None
        }
        return {"project": self.project, **{name: getattr(self, name).isoformat() for name in _TIMES}, **narrowed}

    @classmethod
    def deserialize(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`serialize` wrote."""
        times = {name: datetime.fromisoformat(state[name]) for name in _TIMES}
        narrowed = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in state.items()
            if name not in ("project", *_TIMES)
        }
        return cls(project=state["project"], narrowed=narrowed, **times)

    def query(self, negotiator: VersionNegotiator) -> Flow[RunQuery]:
        """Look up the project, and return the query."""
        return self._query((yield from find_project(self.project, negotiator.backoff)))

    def _query(self, project: Project) -> RunQuery:
        known = [each.name for each in fields(RunQuery) if each.name not in ("project", "start", "end")]
        if unknown := next((name for name in self.narrowed if name not in known), None):
            raise ConfigurationError(f"Runs cannot be narrowed by {unknown!r}. {suggest(unknown, known)}")
        return RunQuery(project=project, start=self.start, end=self.end, **self.narrowed)

    def remaining(self, now: datetime) -> timedelta:
        """Return the time until the window is complete; zero or negative after that."""
        return self.closes - now
