"""From a query to all its pages: cursor by cursor, nothing twice, nothing outside the window, never in a circle."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from airflow_langsmith.api import filter_syntax
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Flow, Request, with_retries
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.last_page import MICROSECOND, Subquery
from airflow_langsmith.api.negotiation import Dialect, VersionNegotiator
from airflow_langsmith.api.payloads import fetch_blobs
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Run
from airflow_langsmith.api.seen_runs import MAX_PAGES_WITHOUT_NEW_RUNS, SeenRuns
from airflow_langsmith.api.v1 import v1_tier
from airflow_langsmith.errors import (
    ADDRESS_GONE,
    ConfigurationError,
    CursorLoopError,
    InvalidQueryError,
    LangSmithError,
)
from airflow_langsmith.filters import format_time

# Larger pages than this are asked for in halves, so that one page never decides how much memory an export takes.
LARGEST_BODY = 16 * 1024 * 1024  # bytes, unpacked; one that is more is not read to its end
SHORT = 1.5  # runs that a share is less than whole pages: of a page that is full nobody knows whether it is the last
GROW_AFTER = 8  # good pages in a row before a page that was made smaller is doubled again


class Pagination:
    """
    All pages of one query, newest run first.

    Every page repeats the whole question. A run that the server repeats comes once, one outside ``[start, end)`` does
    not come. A cursor that comes twice is an error, and so are too many pages in a row that bring nothing new. A run
    whose start LangSmith changes meanwhile may come again, at its new start: only the reader of all walks can tell
    (:class:`IdSet`). What is left to read can be shared with other walks, at any time between two pages.
    """

    def __init__(self, query: RunQuery, negotiator: VersionNegotiator, page_size: int | None = None) -> None:
        self.query = query
        self.done = False
        self.runs = 0
        self._backend = negotiator
        self._dialect: Dialect | None = None
        self._cursor: str | None = None
        self._seen_cursors: set[int] = set()
        self._trail = SeenRuns()
        self._page_size = 0
        self._first_page = page_size or query.page_size
        self._largest_page = 0  # runs on the largest page so far: the server may give no larger ones
        self._good_pages = 0
        # What every page repeats, whoever else reads a part of it; behind it what is to be asked then.
        self._questions = [Subquery(query, query.start, query.end)]
        self._span = MICROSECOND  # what the last page took of the window

    def next_page(self) -> Flow[Page]:
        """Read the next page; the first one also settles which API version the server speaks."""
        if self.query.run_filter.run_ids == ():  # of no runs, none; v2 would take an empty list for no list
            self.done = True
            return Page([], None, 0)
        if self._dialect is None:
            self._speak((yield from self._backend.choose()))
        try:
            page = yield from self._exchange()
        except InvalidQueryError as error:
            error.hint = filter_syntax.hint(self.query.run_filter.expressions.values(), error.detail)
            raise
        except LangSmithError as error:
            page = yield from self._ask_other_version(error)
        self._backend.confirm(self._dialect)
        yield from fetch_blobs(page.blobs, self._backend.backoff, flag=self.query.payloads == "flag")
        return self._accept(page)

    @property
    def about(self) -> str:
        """Name the query and how far it is."""
        return f"{self.query.about}, after {self.runs} runs"

    @property
    def tier(self) -> str:
        """The budget its requests count against."""
        v2 = self._spoken().NAME == "v2"
        return "v2 query" if v2 else v1_tier(self._asked.start, "".join(self._asked.run_filter.expressions.values()))

    @property
    def remaining(self) -> timedelta:
        """How much of its window it has still to read."""
        last = min(self._trail.lowest or self.query.end, self.query.end)
        return timedelta(0) if self.done else max(timedelta(0), last - self.query.start)

    @property
    def pages_left(self) -> float:
        """How many pages that may be, if runs are as close together as on the last page."""
        return self.remaining / self._span if self._trail.is_sorted else 0.0

    @property
    def complete_since(self) -> datetime | None:
        """The moment since when all runs of its window have been read; None where they do not come newest first."""
        if not self._trail.is_sorted:
            return None
        if self.done:
            return self.query.start
        lowest = self._trail.lowest
        return min(lowest + MICROSECOND, self.query.end) if lowest else self.query.end

    def split_off(self, parts: int) -> list[Pagination]:
        """Leave the older parts of what is left, about of one length, to other walks; these are given newest first."""
        last, pages = self.query.start + self.remaining, self.pages_left / parts
        if pages > 1:  # as many whole pages: where runs are evenly spread, none is read for a few runs then
            short = self._span * min(0.5, SHORT / self._page_size)
            steps = [int(part * pages + 0.5) * self._span - part * short for part in range(1, parts)]
        else:
            steps = [part * self.remaining / parts for part in range(1, parts)]
        edges = [*(last - step for step in steps), self.query.start]
        queries = [self.query.within(start, end) for end, start in pairwise(edges)]
        self.query = self.query.within(edges[0], self.query.end)
        return [Pagination(query, self._backend, self._page_size) for query in queries]

    def _exchange(self) -> Flow[Page]:
        return (yield from with_retries(self._request, self._read, self._backend.backoff, self._shrink))

    def _ask_other_version(self, error: LangSmithError) -> Flow[Page]:
        """Ask the same of the other version, if this one may be gone and nothing was read yet."""
        this, other = self._spoken(), self._backend.fallback(error)
        if other is None:
            self._backend.add_advice(error)
            raise error
        self._speak(other)
        try:
            return (yield from self._exchange())
        except ADDRESS_GONE:
            if not error.retriable:
                raise
            self._speak(this)  # an outage: there is no other version
            raise error from None

    def _speak(self, dialect: Dialect) -> None:
        asked = self.query.page_size
        if asked is not None and not 1 <= asked <= dialect.LARGEST_PAGE:
            raise ConfigurationError(
                f"A page of API {dialect.NAME} holds 1 to {dialect.LARGEST_PAGE} runs, not {asked}. Leave page_size "
                "out for the largest; all pages are read in any case."
            )
        for name, filter_ in self.query.run_filter.expressions.items():
            if unknown := sorted(dialect.CANNOT_FILTER & set(filter_syntax.attributes(filter_))):
                raise ConfigurationError(
                    f"API {dialect.NAME} cannot filter by {', '.join(unknown)}, as {name} does; the other version may. "
                    "Filter by something else (failed runs are error=True, or "
                    "eq(status, \"error\")), or set 'api_version' in the connection's extra if this server has both."
                )
        self._dialect = dialect
        self._page_size = self._first_page or dialect.LARGEST_PAGE

    def _request(self) -> Request:
        dialect = self._spoken()
        return Request(
            "POST",
            dialect.PATH,
            tier=self.tier,
            json=dialect.body(self._asked, self._page_size, self._cursor),
            about=self.about,
            pages_left=self.pages_left,
            max_bytes=LARGEST_BODY if self._page_size > 1 else MAX_RUN_BYTES,
        )

    def _read(self, body: bytes) -> Page:
        return self._spoken().read(body, self.query.project, self.query.wire_fields, self.about)

    def _spoken(self) -> Dialect:
        if self._dialect is None:
            raise RuntimeError("the walk has not begun")
        return self._dialect

    def _shrink(self) -> bool:
        if self._page_size == 1:
            return False
        self._page_size //= 2
        self._good_pages = 0
        return True

    @property
    def _asked(self) -> RunQuery:
        return self._questions[0].asked

    def _accept(self, page: Page) -> Page:
        new = self._trail.add_new(page.runs)
        if self._trail.pages_without_new_runs > MAX_PAGES_WITHOUT_NEW_RUNS:
            raise self._loop(f"{MAX_PAGES_WITHOUT_NEW_RUNS} pages in a row brought nothing new")
        self._look_ahead(page)
        if self.done:
            pass
        elif page.cursor is not None:
            self._go_on(page.cursor)
        elif page.runs and len(page.runs) >= min(self._page_size, self._largest_page or self._page_size):
            self._ask_on(page)
        else:
            self._ask(self._questions[1:])
        self._largest_page = max(self._largest_page, len(page.runs))
        self._fit(page)
        fresh = self.query.select_rows(new)
        self.runs += len(fresh)
        kept = {run.id for run in fresh} if page.attachments else ()
        attached = [one for one in page.attachments if one.run.id in kept]
        return Page(fresh, page.cursor, page.size, attachments=attached)

    def _go_on(self, cursor: str) -> None:
        mark = hash(cursor)
        if mark in self._seen_cursors:
            raise self._loop("LangSmith pointed back to a page already read")
        self._seen_cursors.add(mark)
        self._cursor = cursor

    def _ask_on(self, page: Page) -> None:
        """
        Ask once more: a full page without a cursor is the last one by chance, or one whose cursor got lost.

        Nothing else in the answer tells these apart, so a window that just fills its pages takes one request more.
        """
        this, *later = self._questions
        questions = this.narrower(page.runs, self._trail)
        if questions == [this]:
            raise self._loop(
                f"LangSmith gave no way on from a full page of runs at {format_time(page.runs[-1].start_time)}"
            )
        self._ask([*questions, *later])

    def _ask(self, questions: list[Subquery]) -> None:
        """Ask anew, without a cursor; nothing, if no question is left."""
        self.done = not questions
        if questions:
            self._questions = questions
            self._cursor = None
            self._seen_cursors.clear()

    def _loop(self, what: str) -> CursorLoopError:
        return CursorLoopError(
            f"{what} [{self.about}]; going on would never end. "
            "A retry may help; if it does not, tell LangSmith's support."
        )

    def _look_ahead(self, page: Page) -> None:
        """See how close together runs are, and whether all that others do not read has been read."""
        runs, lowest = page.runs, self._trail.lowest
        if runs:
            span = runs[0].start_time - runs[-1].start_time
            self._span = max(MICROSECOND, span * len(runs) / max(1, len(runs) - 1))
        elif lowest is None:
            self._span = max(MICROSECOND, self.remaining)  # nothing is known; one page may be all
        if self._trail.is_sorted and lowest is not None and lowest < self.query.start:
            self.done = True

    def _fit(self, page: Page) -> None:
        """Keep pages under the largest body, and let one that was halved grow back."""
        largest = self.query.page_size or self._spoken().LARGEST_PAGE
        if page.size > LARGEST_BODY:
            self._shrink()
            return
        self._good_pages += 1
        if self._good_pages >= GROW_AFTER and self._page_size < largest and page.size * 2 <= LARGEST_BODY:
            self._page_size = min(largest, self._page_size * 2)
            self._good_pages = 0


class DistinctRuns:
    """The runs of a query, page by page, each once, even if LangSmith moves its start meanwhile."""

    def __init__(self, query: RunQuery, negotiator: VersionNegotiator) -> None:
        self._pagination = Pagination(query, negotiator)
        self._ids = IdSet()

    @property
    def done(self) -> bool:
        """Whether all pages were read."""
        return self._pagination.done

    def next_page(self) -> Flow[list[Run]]:
        """Read the next page, and return its runs that are on no page before."""
        page = yield from self._pagination.next_page()
        return self._ids.add_new(page.runs)
