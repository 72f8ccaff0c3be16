"""What a view is: a kind of row, with its columns, its own options, and how its rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import repeat
from typing import Any, ClassVar, Self

from airflow_langsmith import arguments
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Run
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean
from airflow_langsmith.views.columns import MISSING_PAYLOADS, Column, Rows
from airflow_langsmith.views.reading import changed_feedback, queries_of_runs
from airflow_langsmith.windows.time_window import duration

# Makes rows of a page of runs: flows, each for a batch of rows, to be driven one after another.
PageReader = Callable[[Pagination, Page], Iterator[Flow[Rows]]]

LOOKBACK = "30d"  # twice LangSmith's base retention; a trace that gets feedback is kept for longer


@dataclass(frozen=True)
class Option:
    """
    An argument of an export that is about certain views, such as ``only_with_tools`` of ``traces``.

    It is a field of the views that have it. ``read`` returns its value from what a user wrote. Other views refuse a
    value for which ``is_refused`` is true with the message ``refusal``, in which ``{view}`` is the view's name.
    """

    name: str
    read: Callable[[Any, str], Any]
    refusal: str = ""
    is_refused: Callable[[Any], bool] = bool


def _read_refresh(value: Any, name: str) -> str | None:
    refresh = arguments.text(value, name)
    if refresh not in (None, "feedback"):
        raise ConfigurationError(f"{name} is {refresh!r}. It is 'feedback' or left out.")
    return refresh


_REFRESH_REFUSED = (
    "refresh='feedback' is about rows that have feedback. For feedback itself, use include_modified=True."
)
_LOOKBACK_SECONDS = "feedback_lookback_seconds"
LOOKBACK_OPTION = Option("lookback", lambda value, _: value, is_refused=lambda _: False)


@dataclass(frozen=True)
class View:
    """
    A kind of row: by default one for each run.

    ``columns`` are those of its rows, of a registered view all that users can name. ``key`` is the column that
    identifies a row, ``time`` the one that decides its window. ``missing_payloads`` is the column that says which
    payloads could not be read, for an export that continues without them.

    Its options are fields. With ``refresh`` its rows are those whose feedback changed in the window, and that started
    at most ``lookback`` before it.

    :raises ConfigurationError: for options that do not go together.
    """

    name: str
    columns: tuple[Column, ...]
    key: str = "run_id"
    time: str = "start_time"
    missing_payloads: Column | None = MISSING_PAYLOADS
    refresh: str | None = None
    lookback: str | timedelta = LOOKBACK

    options: ClassVar[tuple[Option, ...]] = (Option("refresh", _read_refresh, _REFRESH_REFUSED), LOOKBACK_OPTION)
    row_is_run: ClassVar[bool] = True  # each row stands for one run of a page: if it comes twice, the run has moved
    reading_fields: ClassVar[tuple[str, ...]] = ("end_time",)  # of runs, beside those of columns: which are pending
    page_size: ClassVar[int | None] = None
    reads_more_than_runs: ClassVar[bool] = False  # to make rows: the children of the runs of a page, feedback
    row_grows: ClassVar[bool] = False  # a later window may have the row of an earlier one again, with more in it

    def __post_init__(self) -> None:
        _ = self.feedback_lookback

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a run that its columns need."""
        return tuple(sorted({field for column in self.columns for field in column.fields}))

    @property
    def feedback_lookback(self) -> timedelta | None:
        """How long before the window a run may start whose feedback changed in the window; None without ``refresh``."""
        return duration(self.lookback, "lookback") if self.refresh else None

    @property
    def partition_name(self) -> str:
        """The folder of its partitions."""
        return f"{self.name}_refreshed" if self.refresh else self.name

    @property
    def narrowed_by(self) -> dict[str, Any]:
        """The options that leave rows out beside the query, for the manifest."""
        lookback = self.feedback_lookback
        return {} if lookback is None else {_LOOKBACK_SECONDS: lookback.total_seconds()}

    @staticmethod
    def is_of_window(query: Mapping[str, Any]) -> bool:
        """Return whether the rows of an export with this query in its manifest are of its window by their time."""
        return _LOOKBACK_SECONDS not in query

    @property
    def is_resumable(self) -> bool:
        """Whether a retry may continue with the rows that an earlier attempt has read."""
        return self.row_is_run and not self.refresh and not self.downloads_attachments

    @property
    def is_of_runs_alone(self) -> bool:
        """Whether its rows are made of the runs of a query and of nothing else, so that these may come from files."""
        return not (self.reads_more_than_runs or self.refresh or self.downloads_attachments)

    @property
    def downloads_attachments(self) -> bool:
        """Whether the files logged with the runs of its pages are downloaded."""
        return False

    def choose(self, names: Iterable[str] | None, *, missing_payloads: bool = False, **options: Any) -> Self:
        """
        Return the view with its default columns, or the named ones in the order named; and with options.

        :raises ConfigurationError: for a name that the view does not have, and for a name that comes twice.
        """
        columns = {column.name: column for column in self.columns}
        names = [column.name for column in self.columns if column.default] if names is None else list(names)
        if missing_payloads and self.missing_payloads:
            columns[self.missing_payloads.name] = self.missing_payloads
            names += {self.missing_payloads.name} - set(names)
        if unknown := sorted(set(names) - set(columns)):
            hints = " ".join(filter(None, (did_you_mean(name, columns) for name in unknown)))
            raise ConfigurationError(
                f"View {self.name!r} has no column {', '.join(map(repr, unknown))}. {hints} "
                f"It has {', '.join(columns)}."
            )
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"Name columns of view {self.name!r}, each once: {names}.")
        return replace(self, columns=tuple(columns[name] for name in names), **options)

    def rows(self, records: Sequence[Any]) -> Rows:
        """Return the rows of records."""
        records = list(records)
        return Rows([column.read(records) for column in self.columns], len(records))

    def narrow(self, query: RunQuery) -> RunQuery:
        """
        Return the query that is to be read.

        :raises ConfigurationError: for a query that this view cannot be narrowed by.
        """
        fields = (*query.fields, *self.reading_fields)
        return replace(query, fields=fields, page_size=query.page_size or self.page_size)

    def listings(self, query: RunQuery, negotiator: VersionNegotiator) -> Iterator[Flow[Rows]]:  # noqa: ARG002
        """Yield flows for batches of rows that do not come from pages of runs."""
        return iter(())

    def queries(self, query: RunQuery, negotiator: VersionNegotiator) -> Flow[list[RunQuery]]:
        """Find the queries whose pages of runs hold the rows."""
        if self.feedback_lookback is None:
            return [query]
        ids: set[str] = set()
        for page in changed_feedback(query, self.feedback_lookback, negotiator):
            ids |= {piece.run_id for piece in (yield from page) if piece.run_id}
        return queries_of_runs(query.within(query.start - self.feedback_lookback, query.end), sorted(ids))

    def reader(self, query: RunQuery, negotiator: VersionNegotiator, is_exported: Callable[[str], bool]) -> PageReader:  # noqa: ARG002
        """
        Return a reader of the pages of these queries, for the threads of several cursors.

        :param query: The whole query, of which cursors read parts.
        :param is_exported: Whether there is a row with a key.
        """
        return lambda pages, page: iter([self._rows_of(pages.query, page.runs, negotiator)])

    def _rows_of(self, query: RunQuery, runs: list[Run], negotiator: VersionNegotiator) -> Flow[Rows]:
        rows = self.rows((yield from self.records(query, runs, negotiator)))
        return replace(rows, keys=[run.id for run in runs], pending=[run.end_time is None for run in runs])

    def records(self, query: RunQuery, runs: list[Run], negotiator: VersionNegotiator) -> Flow[Sequence[Any]]:  # noqa: ARG002
        """Read what the rows of some runs need beside these; return a record for each run."""
        yield from ()
        return runs

    def log_names(self, rows: Rows) -> Iterable[str]:
        """Return how the log names rows: by a run or a trace, because the id of a thread may be an address."""
        for column, values in zip(self.columns, rows.columns, strict=True):
            match column.name:
                case "run_id" | "trace_id":
                    return map(str, values)
                case "trace_ids":
                    return [f"with trace {trace_ids[-1]}" for trace_ids in values]
        return repeat("a row without its id", rows.count)
