"""Which runs are watched: what of a query can be written down and carried to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_langsmith.api import Project, RunQuery
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.messages import one_of
from airflow_langsmith.api.reads import find_project

_MOMENTS = ("start", "end", "closes")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    The runs of ``project`` that started in ``[start, end)``, ``narrowed`` by arguments of :class:`RunQuery`.

    ``closes`` is the moment from which on the window is complete: its end, and the lag that was asked for.

    :raises ConfigurationError: for what is no query, before anything is waited for.
    """

    project: str
    start: datetime
    end: datetime
    closes: datetime
    narrowed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no query."""
        self._query(Project(id="", name=self.project))

    def serialize(self) -> dict[str, Any]:
        """Write it as JSON."""
        narrowed = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.narrowed.items()
            if value is not None
        }
        return {"project": self.project, **{name: getattr(self, name).isoformat() for name in _MOMENTS}, **narrowed}

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """Read it back."""
        moments = {name: datetime.fromisoformat(written[name]) for name in _MOMENTS}
        narrowed = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in written.items()
            if name not in ("project", *_MOMENTS)
        }
        return cls(project=written["project"], narrowed=narrowed, **moments)

    def query(self, backend: Backend) -> Flow[RunQuery]:
        """Write the query, for which the project has to be found."""
        return self._query((yield from find_project(self.project, backend.backoff)))

    def _query(self, project: Project) -> RunQuery:
        known = [one.name for one in fields(RunQuery) if one.name not in ("project", "start", "end")]
        if unknown := next((name for name in self.narrowed if name not in known), None):
            raise ConfigurationError(f"Runs cannot be narrowed by {unknown!r}. {one_of(unknown, known)}")
        return RunQuery(project=project, start=self.start, end=self.end, **self.narrowed)

    def left(self, now: datetime) -> timedelta:
        """Tell how long it is until the window is complete; not positive once it is."""
        return self.closes - now
