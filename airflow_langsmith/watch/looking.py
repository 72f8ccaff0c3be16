"""Looking at LangSmith again and again, and what a look came to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from airflow_langsmith.api import RunQuery, Settings
from airflow_langsmith.api.addresses import project_url
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.watch.selection import Selection

State = Literal["waiting", "met", "failed"]


@dataclass(frozen=True)
class Outcome:
    """``state`` says how it stands, ``line`` says why, for people; ``figures`` are what was measured, as JSON."""

    state: State
    line: str
    figures: dict[str, Any] = field(default_factory=dict)


class Watch(ABC):
    """
    Something to look at until it is no longer ``waiting``.

    It may remember between looks what makes the next one cheaper, or better. :meth:`serialize` writes down its
    arguments and what must not be forgotten, as JSON, and :meth:`of` goes on from there in another process.
    """

    remembers: ClassVar[bool] = False  # whether looks are worth less when another process forgets the last one

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._query: RunQuery | None = None

    @classmethod
    @abstractmethod
    def of(cls, selection: Selection, written: Mapping[str, Any]) -> Self:
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
