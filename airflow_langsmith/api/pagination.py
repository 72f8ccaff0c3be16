"""Read all pages of a query: no run twice, none outside the window, no endless loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from airflow_langsmith.api import filter_syntax
from airflow_langsmith.api.dialect import Dialect
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Flow, Request, with_retries
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.payloads import fetch_blobs
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Run
from airflow_langsmith.api.seen_runs import MAX_PAGES_WITHOUT_NEW_RUNS, SeenRuns
from airflow_langsmith.errors import ConfigurationError, CursorLoopError, InvalidQueryError
from airflow_langsmith.filters import and_, format_time, neq


@dataclass(frozen=True)
class PagePolicy:
    """How large pages may be."""

    max_body_bytes: int = 16 * 1024 * 1024  # so that no page decides how much memory an export takes
    growth_after_pages: int = 8  # good pages in a row before a page that was halved is doubled again
    spare_runs: float = 1.5  # that a part has less than whole pages, because a full last page costs one more request


POLICY = PagePolicy()
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Subquery:
    """The runs of ``whole`` that started in ``[start, end)``, except some that were read."""

    whole: RunQuery
    start: datetime
    end: datetime
    excluded_ids: frozenset[str] = frozenset()

    @cached_property
    def query(self) -> RunQuery:
        """The query to send."""
        query = self.whole.within(self.start, self.end)
        return query.also(and_(*(neq("id", id_) for id_ in sorted(self.excluded_ids)))) if self.excluded_ids else query

    def after_full_page(self, runs: Sequence[Run], seen: SeenRuns) -> list[Subquery]:
        """
        Return subqueries for what a full page may have left out, newest first; this one if there is no other way.

        Sorted runs go on from the last start. If the runs of one moment fill a page, they are excluded by their ids.
        Runs in no order are read in two halves of the page, until pages are not full::

            9 8 7 5 5       [.., 5]
            5 5 5 5 5       [.., 5] without these five
            7 3 9 1 5       [5, ..) and [.., 5)
        """
        starts = sorted(run.start_time for run in runs if self.start <= run.start_time < self.end)
        if not starts:
            return [self]
        if seen.is_sorted:
            ids = seen.ids_at_lowest_start
            excluded = frozenset(ids) if len(ids) >= len(runs) else frozenset[str]()
            return [Subquery(self.whole, self.start, starts[0] + MICROSECOND, excluded)]
        middle = max(starts[len(starts) // 2], self.start + MICROSECOND)
        if middle < self.end:
            return [replace(self, start=middle), replace(self, end=middle)]
        return [replace(self, excluded_ids=self.excluded_ids.union(run.id for run in runs))]


class Pagination:
    """
    All pages of one query, newest run first.

    Every request repeats the whole query. A run that the server repeats comes once, a run outside ``[start, end)`` does
    not come. A cursor that comes twice is an error, and so are too many pages in a row without new runs. A run whose
    start LangSmith changes meanwhile may come again, at its new start: only the reader of all parts can see that
    (:class:`DistinctRuns`). What is left can be split into further paginations, at any time between two pages.
    """

    def __init__(self, query: RunQuery, negotiator: VersionNegotiator, page_size: int | None = None) -> None:
        self.query = query
        self.done = False
        self.runs = 0
        self._negotiator = negotiator
        self._dialect: Dialect | None = None
        self._cursor: str | None = None
        self._seen_cursors: set[int] = set()
        self._seen_runs = SeenRuns()
        self._page_size = 0
        self._initial_page_size = page_size or query.page_size
        self._most_runs = 0  # on a page so far: the server may send no larger ones
        self._good_pages = 0
        self._subqueries = [Subquery(query, query.start, query.end)]
        self._page_span = MICROSECOND  # how much of the window the last page covered

    def next_page(self) -> Flow[Page]:
        """Read the next page; the first one also settles which API version the server speaks."""
        if self.query.run_filter.run_ids == ():  # v2 would take an empty list for no list
            self.done = True
            return Page([], None, 0)
        page = yield from self._negotiator.ask(self._read_page, self._dialect)
        self._negotiator.confirm(self._dialect)
        yield from fetch_blobs(page.blobs, self._negotiator.backoff, flag=self.query.payloads == "flag")
        return self._accept(page)

    @property
    def description(self) -> str:
        """The query and its position, for errors."""
        return f"{self.query.description}, after {self.runs} runs"

    @property
    def tier(self) -> str:
        """The budget of its requests."""
        return self._current_dialect().tier(self._subqueries[0].query)

    @property
    def remaining(self) -> timedelta:
        """How much of its window is left to read."""
        last = min(self._seen_runs.lowest_start or self.query.end, self.query.end)
        return timedelta(0) if self.done else max(timedelta(0), last - self.query.start)

    @property
    def pages_left(self) -> float:
        """How many pages that is, if runs are as close together as on the last page."""
        return self.remaining / self._page_span if self._seen_runs.is_sorted else 0.0

    @property
    def complete_since(self) -> datetime | None:
        """The moment since when all runs of its window have been read; None if they do not come newest first."""
        if not self._seen_runs.is_sorted:
            return None
        if self.done:
            return self.query.start
        lowest = self._seen_runs.lowest_start
        return min(lowest + MICROSECOND, self.query.end) if lowest else self.query.end

    def split_off(self, parts: int) -> list[Pagination]:
        """Keep the newest of so many parts of what is left, and return paginations for the older ones, newest first."""
        last, pages = self.query.start + self.remaining, self.pages_left / parts
        if pages > 1:  # whole pages, so that none is read for a few runs if runs are evenly spread
            spare = self._page_span * min(0.5, POLICY.spare_runs / self._page_size)
            lengths = [int(part * pages + 0.5) * self._page_span - part * spare for part in range(1, parts)]
        else:
            lengths = [part * self.remaining / parts for part in range(1, parts)]
        edges = [*(last - length for length in lengths), self.query.start]
        queries = [self.query.within(start, end) for end, start in pairwise(edges)]
        self.query = self.query.within(edges[0], self.query.end)
        return [Pagination(query, self._negotiator, self._page_size) for query in queries]

    def _read_page(self, dialect: Dialect) -> Flow[Page]:
        if dialect is not self._dialect:
            self._use(dialect)

        def read(body: bytes) -> Page:
            return dialect.read_page(body, self.query.project, self.query.wire_fields, self.description)

        try:
            return (yield from with_retries(self._request, read, self._negotiator.backoff, self._shrink))
        except InvalidQueryError as error:
            error.hint = filter_syntax.hint(self.query.run_filter.expressions.values(), error.detail)
            raise

    def _use(self, dialect: Dialect) -> None:
        page_size = self.query.page_size
        if page_size is not None and not 1 <= page_size <= dialect.max_page_size:
            raise ConfigurationError(
                f"A page of API {dialect.name} holds 1 to {dialect.max_page_size} runs, not {page_size}. Leave "
                "page_size out for the largest; all pages are read in any case."
            )
        for name, filter_ in self.query.run_filter.expressions.items():
            if unfilterable := sorted(dialect.unfilterable & set(filter_syntax.attributes(filter_))):
                raise ConfigurationError(
                    f"API {dialect.name} cannot filter by {', '.join(unfilterable)}, as {name} does; the other version "
                    "may. Filter by something else (failed runs are error=True, or "
                    "eq(status, \"error\")), or set 'api_version' in the connection's extra if this server has both."
                )
        self._dialect = dialect
        self._page_size = self._initial_page_size or dialect.max_page_size

    def _current_dialect(self) -> Dialect:
        if self._dialect is None:
            raise RuntimeError("no page has been read")
        return self._dialect

    def _request(self) -> Request:
        dialect = self._current_dialect()
        return Request(
            "POST",
            f"/api/{dialect.name}/runs/query",
            tier=self.tier,
            json=dialect.body(self._subqueries[0].query, self._page_size, self._cursor),
            purpose=self.description,
            pages_left=self.pages_left,
            max_bytes=POLICY.max_body_bytes if self._page_size > 1 else MAX_RUN_BYTES,
        )

    def _accept(self, page: Page) -> Page:
        new = self._seen_runs.add_new(page.runs)
        if self._seen_runs.pages_without_new_runs > MAX_PAGES_WITHOUT_NEW_RUNS:
            raise self._loop(f"{MAX_PAGES_WITHOUT_NEW_RUNS} pages in a row brought nothing new")
        self._measure(page)
        if self.done:
            pass
        elif page.cursor is not None:
            self._follow(page.cursor)
        elif page.runs and len(page.runs) >= min(self._page_size, self._most_runs or self._page_size):
            self._continue_after_full_page(page)
        else:
            self._start(self._subqueries[1:])
        self._most_runs = max(self._most_runs, len(page.runs))
        self._adapt_page_size(page)
        runs = self.query.select_rows(new)
        self.runs += len(runs)
        ids = {run.id for run in runs} if page.attachments else ()
        attachments = [attachment for attachment in page.attachments if attachment.run.id in ids]
        return Page(runs, page.cursor, page.size, attachments=attachments)

    def _measure(self, page: Page) -> None:
        """Measure how close together runs are, and whether all of this part of the window has been read."""
        runs, lowest = page.runs, self._seen_runs.lowest_start
        if runs:
            span = runs[0].start_time - runs[-1].start_time
            self._page_span = max(MICROSECOND, span * len(runs) / max(1, len(runs) - 1))
        elif lowest is None:
            self._page_span = max(MICROSECOND, self.remaining)  # nothing is known; one page may be all
        if self._seen_runs.is_sorted and lowest is not None and lowest < self.query.start:
            self.done = True

    def _follow(self, cursor: str) -> None:
        mark = hash(cursor)
        if mark in self._seen_cursors:
            raise self._loop("LangSmith pointed back to a page already read")
        self._seen_cursors.add(mark)
        self._cursor = cursor

    def _continue_after_full_page(self, page: Page) -> None:
        """Send one more request: a full page without a cursor is the last one by chance, or its cursor got lost."""
        this, *later = self._subqueries
        next_ = this.after_full_page(page.runs, self._seen_runs)
        if next_ == [this]:
            raise self._loop(
                f"LangSmith gave no way on from a full page of runs at {format_time(page.runs[-1].start_time)}"
            )
        self._start([*next_, *later])

    def _start(self, subqueries: list[Subquery]) -> None:
        """Begin the first of these subqueries, without a cursor; if there is none, all is read."""
        self.done = not subqueries
        if subqueries:
            self._subqueries = subqueries
            self._cursor = None
            self._seen_cursors.clear()

    def _loop(self, problem: str) -> CursorLoopError:
        return CursorLoopError(
            f"{problem} [{self.description}]; going on would never end. "
            "A retry may help; if it does not, tell LangSmith's support."
        )

    def _shrink(self) -> bool:
        if self._page_size == 1:
            return False
        self._page_size //= 2
        self._good_pages = 0
        return True

    def _adapt_page_size(self, page: Page) -> None:
        """Keep pages under the largest body, and let one that was halved grow back."""
        max_size = self.query.page_size or self._current_dialect().max_page_size
        if page.size > POLICY.max_body_bytes:
            self._shrink()
            return
        self._good_pages += 1
        may_grow = self._page_size < max_size and page.size * 2 <= POLICY.max_body_bytes
        if self._good_pages >= POLICY.growth_after_pages and may_grow:
            self._page_size = min(max_size, self._page_size * 2)
            self._good_pages = 0


class DistinctRuns:
    """The runs of a query, page by page, each once, even if LangSmith moves its start meanwhile."""

    def __init__(self, query: RunQuery, negotiator: VersionNegotiator) -> None:
        self.done = False
        self._pagination = Pagination(query, negotiator)
        self._ids = IdSet()

    def next_page(self) -> Flow[list[Run]]:
        """Read the next page, and return its runs that are on no page before."""
        page = yield from self._pagination.next_page()
        self.done = self._pagination.done
        return self._ids.add_new(page.runs)
