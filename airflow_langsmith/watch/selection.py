"""Which runs are watched: what of a query can be written down and carried to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_langsmith.api import Project, RunQuery
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.reads import find_project

NARROWING = (
    "run_type",
    "is_root",
    "error",
    "filter",
    "trace_filter",
    "tree_filter",
    "trace_id",
    "run_ids",
    "reference_example_id",
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    The runs of ``project`` that started in ``[start, end)``, narrowed by the rest, as in :class:`RunQuery`.

    ``closes`` is the moment from which on the window is complete: its end, and the lag that was asked for.
    """

    project: str
    start: datetime
    end: datetime
    closes: datetime
    run_type: str | None = None
    is_root: bool | None = None
    error: bool | None = None
    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    trace_id: str | None = None
    run_ids: tuple[str, ...] | None = None
    reference_example_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no query, before anything is waited for."""
        self._query(Project(id="", name=self.project))

    def serialize(self) -> dict[str, Any]:
        """Write it as JSON."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        moments = {name: given[name].isoformat() for name in ("start", "end", "closes")}
        return {**given, **moments, **({"run_ids": list(self.run_ids)} if self.run_ids is not None else {})}

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """Read it back."""
        moments = {name: datetime.fromisoformat(written[name]) for name in ("start", "end", "closes")}
        ids = {"run_ids": tuple(written["run_ids"])} if written.get("run_ids") is not None else {}
        return cls(**{**written, **moments, **ids})

    def query(self, backend: Backend) -> Flow[RunQuery]:
        """Write the query, for which the project has to be found."""
        return self._query((yield from find_project(self.project, backend.backoff)))

    def _query(self, project: Project) -> RunQuery:
        narrowed = {name: getattr(self, name) for name in NARROWING}
        return RunQuery(project=project, start=self.start, end=self.end, **narrowed)

    def left(self, now: datetime | None = None) -> timedelta:
        """Tell how long it is until the window is complete; not positive once it is."""
        return self.closes - (now or datetime.now(UTC))
