"""Looking at LangSmith again and again, and what a look came to."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self

from airflow_langsmith.api import RunQuery, Settings
from airflow_langsmith.api.addresses import project_url
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.waiting.selection import Selection

State = Literal["waiting", "met", "failed"]

LOG_EVERY = timedelta(minutes=10)


class Clock:
    """The time, and waiting for it; a test gives another one."""

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
    What a look found.

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
    """Lets a line into the log when its reason changed, and otherwise once in ten minutes."""

    reason: str = ""
    logged_at: datetime | None = None

    def is_due(self, reason: str, now: datetime) -> bool:
        """Return whether the line belongs in the log now, and count it as logged if so."""
        if reason == self.reason and self.logged_at is not None and now - self.logged_at < LOG_EVERY:
            return False
        self.reason, self.logged_at = reason, now
        return True

    def serialize(self) -> dict[str, Any]:
        """Write it as JSON, for the next process of a rescheduled sensor."""
        return {"reason": self.reason, "logged_at": self.logged_at and self.logged_at.isoformat()}

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """Read it back."""
        logged_at = written.get("logged_at")
        return cls(str(written.get("reason", "")), datetime.fromisoformat(logged_at) if logged_at else None)


class Watch(ABC):
    """
    Something to look at until it is no longer ``waiting``.

    It may keep between looks what makes the next one cheaper or more exact. :meth:`serialize` writes its arguments and
    the state that must not be lost as JSON; :meth:`of` continues from there in another process.
    """

    remembers: ClassVar[bool] = False  # whether the next look needs the state of the last one

    def __init__(self, selection: Selection, clock: Clock) -> None:
        self.selection = selection
        self._clock = clock
        self._query: RunQuery | None = None

    @classmethod
    @abstractmethod
    def of(cls, selection: Selection, written: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Read it back."""

    @abstractmethod
    def serialize(self) -> dict[str, Any]:
        """Write it down, without the selection."""

    @abstractmethod
    def look(self, backend: Backend) -> Flow[Outcome]:
        """Ask LangSmith, and judge."""

    def query(self, backend: Backend) -> Flow[RunQuery]:
        """Write the query; its project is looked up once."""
        if self._query is None:
            self._query = yield from self.selection.query(backend)
        return self._query

    def result(self, outcome: Outcome, settings: Settings) -> dict[str, Any]:
        """Tell the outcome with the window and a link to it, for XCom."""
        return {
            **outcome.figures,
            "project": self.selection.project,
            "window_start": self.selection.start.isoformat(),
            "window_end": self.selection.end.isoformat(),
            "url": project_url(settings, self._query.project, self._query) if self._query else "",
        }
