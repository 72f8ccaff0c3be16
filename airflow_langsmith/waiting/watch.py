"""A watch: the runs that it looks at, and when an outcome belongs in the log."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.projects import find_project
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.run_filter import EVERY_RUN, RunFilter
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.ui_urls import project_url
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.waiting.verdict import Outcome
from airflow_langsmith.windows import TimeWindow

LOG_INTERVAL = timedelta(minutes=10)
MAX_FAILED_LOOKS = 5  # in a row
_NEVER = datetime.min.replace(tzinfo=UTC)


class Clock:
    """The time, and a pause that does not block the event loop. Tests replace it."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


CLOCK = Clock()


@dataclass
class LogThrottle:
    """Lets a line into the log if its reason changes, and otherwise once in ten minutes."""

    reason: str = ""
    logged_at: datetime = _NEVER

    def is_due(self, reason: str, now: datetime) -> bool:
        """Return whether the line belongs in the log now; if so, it counts as logged."""
        if reason == self.reason and now - self.logged_at < LOG_INTERVAL:
            return False
        self.reason, self.logged_at = reason, now
        return True

    def serialize(self) -> dict[str, str]:
        """Return it as JSON, for the next process of a rescheduled sensor."""
        return {"reason": self.reason, "logged_at": self.logged_at.isoformat()}

    @classmethod
    def deserialize(cls, state: Mapping[str, str]) -> Self:
        """Return what :meth:`serialize` wrote."""
        return cls(state["reason"], datetime.fromisoformat(state["logged_at"]))


@dataclass
class FailedLooks:
    """
    Counts the looks that failed in a row. A few may: each has retries of its own, and the next one may succeed.

    :param max_in_a_row: None for any number.
    """

    max_in_a_row: int | None = MAX_FAILED_LOOKS
    in_a_row: int = 0

    def tolerate(self, error: LangSmithError, *, is_last: bool) -> str:
        """Return the line of a failed look. Raise its error if no retry cures it, or if it is one too many."""
        self.in_a_row += 1
        is_too_many = self.max_in_a_row is not None and (self.in_a_row > self.max_in_a_row or is_last)
        if not error.retriable or is_too_many:
            raise error
        return f"Look failed: {error.cause}"


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
        texts = {name: time.isoformat() for name, time in times.items()}
        return {"project": self.project, **texts, **self.run_filter.serialize()}

    @classmethod
    def deserialize(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`serialize` wrote."""
        filters = dict(state)
        project = filters.pop("project")
        start, end, closes = (datetime.fromisoformat(filters.pop(name)) for name in ("start", "end", "closes"))
        run_filter = RunFilter.deserialize(filters)
        return cls(project=project, window=TimeWindow(start, end), closes=closes, run_filter=run_filter)


@dataclass(kw_only=True, eq=False)
class Watch(ABC):
    """
    Looks at LangSmith until the state is ``met`` or ``failed``.

    ``selection`` says at what, and is of ``selection_type``. The other fields of a subclass are its arguments, and the
    state that a look leaves to the next one, as JSON.
    """

    has_state: ClassVar[bool] = False
    selection_type: ClassVar[Any]

    selection: Any
    clock: Clock = CLOCK

    def serialize(self) -> dict[str, Any]:
        """Return the fields of the subclass as JSON, without the selection."""
        return {name: getattr(self, name) for name in self._names()}

    @classmethod
    def deserialize(cls, selection: Any, state: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Return the watch that :meth:`serialize` wrote, to continue in another process."""
        return cls(selection=selection, clock=clock, **{name: state[name] for name in cls._names() if name in state})

    @classmethod
    def _names(cls) -> list[str]:
        own = {each.name for each in fields(Watch)}
        return [each.name for each in fields(cls) if each.init and each.name not in own]

    @abstractmethod
    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """Read from LangSmith, and judge."""

    @abstractmethod
    def result(self, outcome: Outcome, settings: Settings) -> dict[str, Any]:
        """Return the figures and a link, ``url``, for XCom."""


@dataclass(kw_only=True, eq=False)
class RunsWatch(Watch):
    """Looks at the selected runs."""

    selection_type: ClassVar = Selection

    selection: Selection
    _query: RunQuery | None = field(default=None, init=False)

    def query(self, negotiator: VersionNegotiator) -> Flow[RunQuery]:
        """Return the query. Its project is looked up once."""
        if self._query is None:
            selection = self.selection
            project = yield from find_project(selection.project, negotiator.backoff)
            self._query = RunQuery(project=project, window=selection.window, run_filter=selection.run_filter)
        return self._query

    def result(self, outcome: Outcome, settings: Settings) -> dict[str, Any]:
        """Return the figures, the window and a link to it, for XCom."""
        return {
            **outcome.figures,
            "project": self.selection.project,
            "window_start": self.selection.window.start.isoformat(),
            "window_end": self.selection.window.end.isoformat(),
            "url": project_url(settings, self._query.project, self._query) if self._query else "",
        }
