"""A watch, what a look of it returns, and when that belongs in the log."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.ui_urls import project_url
from airflow_langsmith.waiting.selection import Selection
from airflow_langsmith.waiting.verdict import State

LOG_INTERVAL = timedelta(minutes=10)


class Clock:
    """The time, and a pause. Tests replace it."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(seconds)


CLOCK = Clock()


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of a look.

    ``reason`` explains ``state`` to people, ``elapsed`` adds what changes with the clock alone, and ``figures`` are the
    measurements as JSON::

        Outcome("waiting", "waiting: 0 of 3 runs are pending", {"runs": 3}, "run count unchanged for 4 s (needs 600 s)")
    """

    state: State
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)
    elapsed: str = ""

    @property
    def line(self) -> str:
        """The line for the log."""
        return f"{self.reason}; {self.elapsed}" if self.elapsed else self.reason


@dataclass
class LogThrottle:
    """Lets a line into the log if its reason changed, and otherwise once in ten minutes."""

    reason: str = ""
    logged_at: datetime | None = None

    def is_due(self, reason: str, now: datetime) -> bool:
        """Return whether the line belongs in the log now, and count it as logged if so."""
        if reason == self.reason and self.logged_at is not None and now - self.logged_at < LOG_INTERVAL:
            return False
        self.reason, self.logged_at = reason, now
        return True

    def serialize(self) -> dict[str, Any]:
        """Return it as JSON, for the next process of a rescheduled sensor."""
        return {"reason": self.reason, "logged_at": self.logged_at and self.logged_at.isoformat()}

    @classmethod
    def deserialize(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`serialize` wrote."""
        logged_at = state.get("logged_at")
        return cls(str(state.get("reason", "")), datetime.fromisoformat(logged_at) if logged_at else None)


class Watch(ABC):
    """
    Looks at the selected runs until the state is ``met`` or ``failed``.

    :meth:`serialize` returns the arguments, and the state that the next look needs, as JSON. :meth:`deserialize`
    continues from there in another process.
    """

    has_state: ClassVar[bool] = False  # whether the next look needs state from the last one

    def __init__(self, selection: Selection, clock: Clock) -> None:
        self.selection = selection
        self._clock = clock
        self._query: RunQuery | None = None

    @classmethod
    @abstractmethod
    def deserialize(cls, selection: Selection, state: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Return the watch that :meth:`serialize` wrote."""

    @abstractmethod
    def serialize(self) -> dict[str, Any]:
        """Return the arguments and the state as JSON, without the selection."""

    @abstractmethod
    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """Read the runs from LangSmith, and judge them."""

    def query(self, negotiator: VersionNegotiator) -> Flow[RunQuery]:
        """Return the query. Its project is looked up once."""
        if self._query is None:
            self._query = yield from self.selection.query(negotiator)
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
