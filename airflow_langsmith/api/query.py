"""A query: the runs of one project, in one window, that pass one filter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Self

from airflow_langsmith import arguments
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.api.run_filter import EVERY_RUN, RunFilter
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import Filter, add_condition, format_time
from airflow_langsmith.messages import suggest
from airflow_langsmith.windows import TimeWindow

# LangSmith does not document whether a run at a bound of the body is inside. So the bounds in the body are this much
# wider, and the filter draws the exact line.
MARGIN = timedelta(seconds=1)

# Before any trace. An unbounded query says so, because v2 takes a missing bound for "the last day".
BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)

# Limits of bounds: far from any trace, and from the ends of the calendar, because margins are added to bounds.
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(8999, 12, 31, tzinfo=UTC)

ALL_TIME = TimeWindow(BEGINNING, LATEST, "all time")

# How far the runs of a trace start from its root: some before it, because clocks differ, and some long after.
# LangSmith keeps traces for 400 days at most.
BEFORE_ROOT, AFTER_ROOT = timedelta(days=1), timedelta(days=400)

FIELDS: tuple[str, ...] = Run.__struct_fields__

MissingPayloadPolicy = Literal["fail", "flag"]


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """
    The runs of ``project`` that started in ``window`` and pass ``run_filter``, with ``fields`` of :class:`Run` filled.

    ``page_size`` is runs a page, None for the largest page of the API version. ``payloads`` says what becomes of a
    payload that blob storage does not have: it fails the query, or the run is flagged.

    :raises ConfigurationError: for a field that no run has.
    """

    project: Project
    window: TimeWindow
    run_filter: RunFilter = EVERY_RUN
    fields: tuple[str, ...] = FIELDS
    page_size: int | None = None
    payloads: MissingPayloadPolicy = "fail"

    def __post_init__(self) -> None:
        """Refuse what LangSmith would misread."""
        check_fields(self.fields)
        arguments.one_of(MissingPayloadPolicy)(self.payloads, "payloads")

    @property
    def start(self) -> datetime:
        """The start of the window, inside it."""
        return self.window.start

    @property
    def end(self) -> datetime:
        """The end of the window, outside it."""
        return self.window.end

    def within(self, start: datetime, end: datetime) -> Self:
        """Return the same query of another window."""
        return replace(self, window=TimeWindow(start, end))

    def narrowed(self, **arguments: Any) -> Self:
        """Return the same query with other fields of its :class:`RunFilter`."""
        return replace(self, run_filter=replace(self.run_filter, **arguments))

    def also(self, condition: Filter, expression: str = "filter") -> Self:
        """Return the same query with a condition added to an expression: ``filter`` or ``tree_filter``."""
        return self.narrowed(**{expression: add_condition(condition, getattr(self.run_filter, expression))})

    def select_rows(self, runs: list[Run]) -> list[Run]:
        """Apply the conditions that the server cannot: exact bounds of the window, and those of the run filter."""
        start, end = self.start, self.end
        return self.run_filter.select_rows([run for run in runs if start <= run.start_time < end])

    @cached_property
    def wire_fields(self) -> tuple[str, ...]:
        """The fields to ask for: ``fields``, and those that :meth:`select_rows` reads."""
        return tuple(sorted({*self.fields, "id", "start_time", *self.run_filter.select_fields}))

    @cached_property
    def description(self) -> str:
        """The query in logs and errors."""
        return f"project {self.project.name!r}, window [{format_time(self.start)}, {format_time(self.end)})"

    @cached_property
    def window_filter(self) -> str:
        """The exact half-open window, and the user's filter beside it, never in place of it."""
        window = f'gte(start_time, "{format_time(self.start)}"), lt(start_time, "{format_time(self.end)}")'
        return f"and({', '.join((window, *self.run_filter.conditions))})"


def check_fields(names: Iterable[str]) -> None:
    """
    Refuse a field that no run has.

    :raises ConfigurationError: naming the field that may be meant.
    """
    if unknown := sorted(set(names) - set(FIELDS)):
        raise ConfigurationError(f"A run has no field {unknown[0]!r}. {suggest(unknown[0], FIELDS)}")


def window_below(first: datetime, last: datetime) -> TimeWindow:
    """Return the window of the runs below those, roots as a rule, that start from ``first`` to ``last``."""
    return TimeWindow(bounded(first - BEFORE_ROOT, "start"), bounded(last + AFTER_ROOT, "end"))


def bounded(moment: datetime, name: str) -> datetime:
    """
    Return a bound within the years that a query can have.

    >>> bounded(datetime.max.replace(tzinfo=UTC), "end").year
    8999

    :raises ConfigurationError: for one without a zone.
    """
    if moment.tzinfo is None:
        raise ConfigurationError(f"The query's {name} has no time zone: {moment.isoformat()}. Add one, e.g. UTC.")
    return min(max(moment, EARLIEST), LATEST)
