"""From a query to all its pages: cursor by cursor, nothing twice, nothing outside the window, never in a circle."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from airflow_langsmith.api import syntax
from airflow_langsmith.api.backend import Backend, Dialect
from airflow_langsmith.api.errors import (
    GONE,
    ConfigurationError,
    CursorLoopError,
    InvalidQueryError,
    LangSmithError,
)
from airflow_langsmith.api.flow import LARGEST_RUN, Flow, Request, exchange
from airflow_langsmith.api.pacing import v1_tier
from airflow_langsmith.api.payloads import fetch
from airflow_langsmith.api.query import RunQuery, instant
from airflow_langsmith.api.records import Page, Run

# Larger pages than this are asked for in halves, so that one page never decides how much memory an export takes.
LARGEST_BODY = 16 * 1024 * 1024  # bytes, unpacked; one that is more is not read to its end
MOMENT = timedelta(microseconds=1)
SHORT = 1.5  # runs that a share is less than whole pages: of a page that is full nobody knows whether it is the last
GROW_AFTER = 8  # good pages in a row before a page that was made smaller is doubled again


class Walk:
    """
    All pages of one query, newest run first.

    Every page repeats the whole question. A run the server repeats at the seam of two pages comes once, one outside
    ``[start, end)`` does not come, and a cursor that comes twice is an error. A run whose start LangSmith changes
    meanwhile may come again, at its new start: only the reader of all walks can tell (:class:`IdSet`). What is left to
    read can be shared with other walks, at any time between two pages.
    """

    def __init__(self, query: RunQuery, backend: Backend, page_size: int | None = None) -> None:
        self.query = query
        self.done = False
        self.runs = 0
        self._backend = backend
        self._dialect: Dialect | None = None
        self._cursor: str | None = None
        self._seen_cursors: set[int] = set()
        self._seam: deque[dict[str, datetime]] = deque(maxlen=2)
        self._tied: dict[str, datetime] = {}  # runs that started when the last one did, however many pages they fill
        self._last: datetime | None = None
        self._page_size = 0
        self._first_page = page_size or query.page_size
        self._good_pages = 0
        self._asked = query  # what every page repeats, whoever else reads a part of it
        self._sorted = True  # newest first; only then it is known what is left
        self._span = MOMENT  # what the last page took of the window

    def next_page(self) -> Flow[Page]:
        """Read the next page; the first one also settles which API version the server speaks."""
        if self.query.run_ids == ():  # of no runs, none; v2 would take an empty list for no list
            self.done = True
            return Page([], None, 0)
        if self._dialect is None:
            self._speak((yield from self._backend.choose()))
        try:
            page = yield from self._exchange()
        except InvalidQueryError as error:
            error.hint = syntax.hint(self.query.filters.values(), error.detail)
            raise
        except LangSmithError as error:
            page = yield from self._ask_other_version(error)
        self._backend.settle(self._dialect)
        yield from fetch(page.elsewhere, self._backend.backoff, flag=self.query.payloads == "flag")
        return self._accept(page)

    @property
    def about(self) -> str:
        """Name the query and how far it is."""
        return f"{self.query.about}, after {self.runs} runs"

    @property
    def tier(self) -> str:
        """The budget its requests count against."""
        v2 = self._spoken().NAME == "v2"
        return "v2 query" if v2 else v1_tier(self._asked.start, "".join(self._asked.filters.values()))

    @property
    def left(self) -> timedelta:
        """How much of its window it has still to read."""
        return timedelta(0) if self.done else max(timedelta(0), (self._last or self.query.end) - self.query.start)

    @property
    def pages_left(self) -> float:
        """How many pages that may be, if runs are as close together as on the last page."""
        return self.left / self._span if self._sorted else 0.0

    @property
    def complete_since(self) -> datetime | None:
        """The moment since when all runs of its window have been read; None where they do not come newest first."""
        if not self._sorted:
            return None
        if self.done:
            return self.query.start
        return min(self._last + MOMENT, self.query.end) if self._last else self.query.end

    def share(self, parts: int) -> list[Walk]:
        """Leave the older parts of what is left, about of one length, to other walks; these are given newest first."""
        last, pages = self.query.start + self.left, self.pages_left / parts
        if pages > 1:  # as many whole pages: where runs are evenly spread, none is read for a few runs then
            short = self._span * min(0.5, SHORT / self._page_size)
            steps = [int(part * pages + 0.5) * self._span - part * short for part in range(1, parts)]
        else:
            steps = [part * self.left / parts for part in range(1, parts)]
        edges = [*(last - step for step in steps), self.query.start]
        queries = [replace(self.query, start=start, end=end) for end, start in pairwise(edges)]
        self.query = replace(self.query, start=edges[0])
        return [Walk(query, self._backend, self._page_size) for query in queries]

    def _exchange(self) -> Flow[Page]:
        return (yield from exchange(self._request, self._read, self._backend.backoff, self._shrink))

    def _ask_other_version(self, error: LangSmithError) -> Flow[Page]:
        """Ask the same of the other version, if this one may be gone and nothing was read yet."""
        this, other = self._spoken(), self._backend.other(error)
        if other is None:
            self._backend.advise(error)
            raise error
        self._speak(other)
        try:
            return (yield from self._exchange())
        except GONE:
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
        for name, filter_ in self.query.filters.items():
            if unknown := sorted(dialect.CANNOT_FILTER & set(syntax.attributes(filter_))):
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
            largest=LARGEST_BODY if self._page_size > 1 else LARGEST_RUN,
        )

    def _read(self, body: bytes) -> Page:
        return self._spoken().read(body, self.query.project, self.query.needed, self.about)

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

    def _accept(self, page: Page) -> Page:
        if page.cursor is not None:
            mark = hash(page.cursor)
            if mark in self._seen_cursors:
                raise CursorLoopError(
                    f"LangSmith pointed back to a page already read [{self.about}]; going on would never end. "
                    "A retry may help; if it does not, tell LangSmith's support."
                )
            self._seen_cursors.add(mark)
        before, unseen = self._last, self._unseen(page.runs)
        self._sorted &= before is None or not unseen or unseen[0].start_time <= before  # within the page: below
        fresh = self.query.held(unseen)
        self._cursor = page.cursor
        if page.cursor is None and len(page.runs) >= self._page_size:
            self._go_on_from(page.runs[-1].start_time, unseen)
        else:
            self.done = page.cursor is None
        self._look_ahead(page.runs)
        self._fit(page)
        self.runs += len(fresh)
        kept = {run.id for run in fresh} if page.attachments else ()
        attached = [one for one in page.attachments if one.run.id in kept]
        return Page(fresh, page.cursor, page.size, attachments=attached)

    def _unseen(self, runs: list[Run]) -> list[Run]:
        """
        Leave out what came before: on this page, on the two before it, or at the moment where the last one ended.

        A run with another start than before stays. Its first place may be one that is read again after a failure, where
        the run is no longer.
        """
        starts = {run.id: run.start_time for run in runs}
        before = {**self._tied}
        for page in self._seam:
            before |= page
        found = runs
        if len(starts) < len(runs) or not starts.keys().isdisjoint(before):
            found = []
            for run in runs:
                if before.get(run.id) != run.start_time:
                    before[run.id] = run.start_time
                    found.append(run)
        if runs:
            if runs[-1].start_time != self._last:
                self._last, self._tied = runs[-1].start_time, {}
            self._tied |= {run.id: run.start_time for run in runs if run.start_time == self._last}
        self._seam.append(starts)
        return found

    def _go_on_from(self, last: datetime, unseen: list[Run]) -> None:
        """
        Ask once more: a full page without a cursor is the last one by chance, or one whose cursor got lost.

        Nothing else in the answer tells these apart, so a window that just fills its pages takes one request more.
        """
        if not unseen:
            raise CursorLoopError(
                f"LangSmith gave no way on from a full page of runs that all started at {instant(last)} [{self.about}]"
                ". A retry may help; if it does not, tell LangSmith's support."
            )
        end = last + MOMENT  # runs of that very microsecond may be on both sides of the seam
        self._seen_cursors.clear()
        self.done = end <= self._asked.start
        if not self.done:
            self._asked = replace(self._asked, end=end)

    def _look_ahead(self, runs: list[Run]) -> None:
        """See how close together runs are, and whether what others do not read has all been read."""
        if not runs:
            return
        starts = [run.start_time for run in runs]
        self._sorted = self._sorted and starts == sorted(starts, reverse=True)
        self._span = max(MOMENT, (starts[0] - starts[-1]) * len(runs) / max(1, len(runs) - 1))
        if self._sorted and self._asked.start < self.query.start and runs[-1].start_time < self.query.start:
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
