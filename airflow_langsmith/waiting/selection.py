"""The runs that a watch looks at, in a form that another process can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.projects import find_project
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.run_filter import EVERY_RUN, RunFilter
from airflow_langsmith.windows import TimeWindow


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    The runs of ``project`` (its name or id) that started in ``window`` and pass ``run_filter``.

    ``closes`` is when the window is complete: its end plus the lag. As JSON it is flat::

        {"project": "shop", "start": "2026-03-01T00:00:00+00:00", "end": "2026-03-02T00:00:00+00:00",
         "closes": "2026-03-02T01:00:00+00:00", "is_root": True}
    """

    project: str
    window: TimeWindow
    closes: datetime
    run_filter: RunFilter = EVERY_RUN

    def serialize(self) -> dict[str, Any]:
        """Return it as JSON."""
        times = {"start": self.window.start, "end": self.window.end, "closes": self.closes}
        written = {name: time.isoformat() for name, time in times.items()}
        return {"project": self.project, **written, **self.run_filter.serialize()}

    @classmethod
    def deserialize(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`serialize` wrote."""
        narrowing = {**state}
        project = narrowing.pop("project")
        start, end, closes = (datetime.fromisoformat(narrowing.pop(name)) for name in ("start", "end", "closes"))
        return cls(
            project=project,
            window=TimeWindow(start, end),
            closes=closes,
            run_filter=RunFilter.deserialize(narrowing),
        )

    def query(self, negotiator: VersionNegotiator) -> Flow[RunQuery]:
        """Look up the project, and return the query."""
        project = yield from find_project(self.project, negotiator.backoff)
        return RunQuery(project=project, window=self.window, run_filter=self.run_filter)

    def remaining(self, now: datetime) -> timedelta:
        """Return the time until the window is complete; zero or negative after that."""
        return self.closes - now
