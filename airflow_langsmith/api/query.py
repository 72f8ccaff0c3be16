"""What is asked of LangSmith: one query over the runs of one project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, get_args

from airflow_langsmith.api import filter_syntax
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import format_time
from airflow_langsmith.messages import suggest

# Whether LangSmith counts a run at a body bound as inside is undocumented, so the bounds sent are this much wider
# and the filter draws the exact line.
MARGIN = timedelta(seconds=1)

# Before any trace: an unbounded query says so, because v2 reads silence as "the last day".
BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)

# Where bounds end: far from any trace, and from the ends of the calendar, because they are moved and change zones.
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

# Where the runs of a trace are, seen from its root's start: some begin before it, by clocks that differ, and some long
# after; traces are kept for 400 days at most.
BEFORE_ROOT, AFTER_ROOT = timedelta(days=1), timedelta(days=400)

RUN_TYPES = ("tool", "chain", "llm", "retriever", "embedding", "prompt", "parser")

FIELDS: tuple[str, ...] = Run.__struct_fields__

MissingPayloadPolicy = Literal["fail", "flag"]


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """
    The runs of ``project`` whose ``start_time`` lies in ``[start, end)``, narrowed by the rest.

    ``datetime.min`` and ``datetime.max``, with a zone, are bounds that leave nothing out.
    ``fields`` names the fields of :class:`Run` to fill; ``filter`` is about the run itself, ``trace_filter`` about its
    root, ``tree_filter`` about any run of its trace. ``below`` is the id of a run: only it and the runs below it are
    wanted. ``sample`` keeps a share of the traces, ``with_feedback`` the runs that have any. ``page_size`` is runs a
    page, None for the version's largest. ``payloads`` says what becomes of payloads in blob storage that cannot be had:
    they fail the query, or are flagged in their runs.

    :raises ConfigurationError: for bounds without a zone or the wrong way round, names LangSmith does not know, and
        filters that are no expressions.
    """

    project: Project
    start: datetime
    end: datetime
    fields: tuple[str, ...] = FIELDS
    run_type: str | None = None
    is_root: bool | None = None
    error: bool | None = None
    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    trace_id: str | None = None
    run_ids: tuple[str, ...] | None = None
    reference_example_id: str | None = None
    below: str | None = None
    sample: Sample | None = None
    with_feedback: bool = False
    page_size: int | None = None
    payloads: MissingPayloadPolicy = "fail"

    def __post_init__(self) -> None:
        """Refuse what would be misread."""
        for name, bound in (("start", self.start), ("end", self.end)):
            object.__setattr__(self, name, bounded(bound, name))
        if self.start >= self.end:
            raise ConfigurationError(
                f"The query's window is empty: {format_time(self.start)} is not before {format_time(self.end)}."
            )
        if self.run_type is not None and self.run_type.lower() not in RUN_TYPES:
            raise ConfigurationError(f"There is no run type {self.run_type!r}. {suggest(self.run_type, RUN_TYPES)}")
        check_fields(self.fields)
        if self.payloads not in get_args(MissingPayloadPolicy):
            raise ConfigurationError(
                f"payloads is {self.payloads!r}. {suggest(self.payloads, get_args(MissingPayloadPolicy))}"
            )
        for name, filter_ in self.filters.items():
            filter_syntax.check(filter_, name)

    def held(self, runs: list[Run]) -> list[Run]:
        """Apply the conditions that the server cannot: exact window bounds, place in the tree, sample, any feedback."""
        start, end, below, sample = self.start, self.end, self.below, self.sample
        held = [run for run in runs if start <= run.start_time < end]
        if below is not None:
            held = [run for run in held if run.id == below or below in run.ancestor_ids]
        if sample is not None:
            held = [run for run in held if sample.keeps(run)]
        if self.with_feedback:
            held = [run for run in held if run.feedback_stats is not None]
        return held

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The fields to ask for: those wanted, and those that :meth:`held` looks at."""
        more = {"id", "start_time"}
        more |= {"dotted_order", "parent_run_id"} if self.below is not None else set()
        more |= {"trace_id", self.sample.key} if self.sample is not None else set()
        more |= {"feedback_stats"} if self.with_feedback else set()
        return tuple(sorted({*self.fields, *more}))

    @cached_property
    def filters(self) -> dict[str, str]:
        """The filters that were given, by their names."""
        given = {"filter": self.filter, "trace_filter": self.trace_filter, "tree_filter": self.tree_filter}
        return {name: filter_ for name, filter_ in given.items() if filter_ is not None}

    @cached_property
    def about(self) -> str:
        """Name the query in logs and errors."""
        return f"project {self.project.name!r}, window [{format_time(self.start)}, {format_time(self.end)})"

    @cached_property
    def window_filter(self) -> str:
        """The exact half-open window, and the user's filter beside it, never in place of it."""
        window = f'gte(start_time, "{format_time(self.start)}"), lt(start_time, "{format_time(self.end)}")'
        return f"and({window}, {self.filter})" if self.filter else f"and({window})"


def check_fields(names: Iterable[str]) -> None:
    """
    Refuse a field that no run has.

    :raises ConfigurationError: naming the field that may be meant.
    """
    if unknown := sorted(set(names) - set(FIELDS)):
        raise ConfigurationError(f"A run has no field {unknown[0]!r}. {suggest(unknown[0], FIELDS)}")


def bounded(moment: datetime, name: str) -> datetime:
    """
    Bring a bound into the years that can be asked for.

    >>> bounded(datetime.max.replace(tzinfo=UTC), "end").year
    9000

    :raises ConfigurationError: for one without a zone.
    """
    if moment.tzinfo is None:
        raise ConfigurationError(f"The query's {name} has no time zone: {moment.isoformat()}. Add one, e.g. UTC.")
    return min(max(moment, EARLIEST), LATEST)
