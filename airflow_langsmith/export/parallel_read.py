"""A window read by several cursors at once; its rows come in the order in which one cursor would bring them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from airflow_langsmith.api.client import LangSmithClient, StoppedError
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page
from airflow_langsmith.export.cursor_limit import CursorLimit, ParallelReadPolicy
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.row_file import RowCodec, RowFile
from airflow_langsmith.views import Rows, View

_JOIN_SECONDS = 0.05  # then a thread is interrupted again: it may have sent a request just after the last time

MakeRows = Callable[[LangSmithClient, Pagination, Page], Iterator[Rows]]


@dataclass(frozen=True)
class ReadJob:
    """What an export reads, with which client and policy, how far it is, and where its rows wait."""

    client: LangSmithClient
    query: RunQuery
    view: View
    policy: ParallelReadPolicy
    progress: Progress
    directory: Path

    @cached_property
    def codec(self) -> RowCodec:
        """Encodes the rows that wait."""
        return RowCodec(self.view)


@dataclass(eq=False)
class _Cursor:
    """A part of the window, and its rows that the reader has not taken yet: on the local disk, or the next batch."""

    pagination: Pagination
    remaining: timedelta
    pages_left: float
    backlog: RowFile
    next: Rows | None = None
    ended: bool = False
    wall_seconds: float = 0.0  # that its pages took
    cpu_seconds: float = 0.0


class ParallelRead:
    """
    Reads the pages of a query by as many cursors as the budget has use for, each in a thread of its own.

    The cursor with the most pages left shares them with new cursors, while latency times budget asks for more requests
    under way, pages per second grow (:class:`CursorLimit`), and neither the processor nor memory is the limit. While
    there are too many, the cursors of the oldest parts wait. Parts stay in order, newest first: the rows of the first
    one are handed over as they come, one batch ahead, those of the others wait on the local disk.

    :param make: Makes rows of a page; called in the cursor's thread, with the client to use there.
    :param share: The share of the window that the query has.
    """

    def __init__(self, job: ReadJob, query: RunQuery, make: MakeRows, share: float) -> None:
        self._stop = threading.Event()
        self._client = job.client.stopped_by(self._stop)
        self._job, self._policy, self._make = job, job.policy, make
        self._pagination = job.client.pagination(query)
        self._window = self._pagination.remaining
        self._share_before, self._share = job.progress.share, share
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()  # guards what follows
        self._cursors: list[_Cursor] = []
        self._limit = CursorLimit(job.policy)
        self._has_new_page = False
        self._error: BaseException | None = None

    def rows(self) -> Generator[Rows]:
        """
        Yield the rows, newest run first. When this ends or is closed, no thread is left.

        The first error of any cursor is raised.
        """
        try:
            with self._changed:
                self._start([self._pagination], 0, math.inf)
            while self._cursors:
                with self._changed:
                    self._changed.wait_for(self._is_ready)
                    if self._error is not None:
                        raise self._error
                    has_new_page, self._has_new_page = self._has_new_page, False
                    rows = self._take()
                if has_new_page:
                    self._job.progress.on_page(self._job.progress)
                if rows is not None:
                    yield rows
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        for thread in self._threads:
            while thread.is_alive():
                self._client.interrupt()
                thread.join(_JOIN_SECONDS)
        for cursor in self._cursors:
            cursor.backlog.remove()

    def _is_ready(self) -> bool:
        first = self._cursors[0]
        return bool(self._error or self._has_new_page or first.backlog.waiting or first.next or first.ended)

    def _take(self) -> Rows | None:
        """Take the next rows, if any are ready; drop the first cursor if it has ended and all its rows are taken."""
        first = self._cursors[0]
        if first.backlog.waiting:
            rows: Rows | None = first.backlog.take()
        else:
            rows, first.next = first.next, None
            if rows is None and first.ended:
                self._cursors.pop(0).backlog.remove()
        self._changed.notify_all()
        return rows

    def _start(self, paginations: list[Pagination], place: int, pages_left: float) -> None:
        for number, pagination in enumerate(paginations, len(self._threads)):
            backlog = RowFile(self._job.directory / f"rows-{number}", self._job.codec)
            cursor = _Cursor(pagination, pagination.remaining, pages_left, backlog)
            thread = threading.Thread(target=self._read, args=(cursor,), name=f"langsmith-cursor-{number}")
            self._cursors.insert(place, cursor)
            self._threads.append(thread)
            place += 1
            thread.start()

    def _read(self, cursor: _Cursor) -> None:
        try:
            while not cursor.pagination.done:
                self._read_page(cursor)
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001  # any at all, or the reader would wait for ever
            with self._changed:
                self._error = self._error or error
        with self._changed:
            cursor.ended = True
            self._changed.notify_all()

    def _read_page(self, cursor: _Cursor) -> None:
        # A function of its own, so that the page and its rows are released before the next page is waited for.
        with self._changed:
            self._wait_until(lambda: cursor in self._reading)
            changes = self._limit.changes
        began, waited, cpu_began = time.monotonic(), self._client.thread_waited_seconds, time.thread_time()
        page = self._client.drive(cursor.pagination.next_page())
        seconds = time.monotonic() - began
        cursor.wall_seconds += seconds
        cursor.cpu_seconds += time.thread_time() - cpu_began
        self._add_page(cursor, page, seconds - (self._client.thread_waited_seconds - waited), changes)
        for rows in self._make(self._client, cursor.pagination, page):
            self._put(cursor, rows)

    @property
    def _reading(self) -> list[_Cursor]:
        return [cursor for cursor in self._cursors if not cursor.ended][: self._limit.cursors]

    def _add_page(self, cursor: _Cursor, page: Page, seconds: float, changes: int) -> None:
        """Count a page, and share the pages that are left if that is useful."""
        pagination = cursor.pagination
        with self._changed:
            usable = 1 if pagination.done else self._usable(cursor, page, seconds)
            self._limit.add_page(seconds, changes, len(self._reading), usable)
            others = [other.pages_left for other in self._cursors if other is not cursor and not other.ended]
            shares = self._limit.shares(pagination.pages_left, others, usable)
            older = pagination.split_off(shares) if shares > 1 else []
            cursor.remaining, cursor.pages_left = pagination.remaining, pagination.pages_left
            self._start(older, self._cursors.index(cursor) + 1, pagination.pages_left)
            share_read = 1 - sum(other.remaining / self._window for other in self._cursors)
            pending = [run.end_time for run in page.runs].count(None)
            self._job.progress.share = self._share_before + self._share * share_read
            self._job.progress.count([run.start_time for run in page.runs], pending, pages=1)
            self._has_new_page = True
            self._changed.notify_all()

    def _usable(self, cursor: _Cursor, page: Page, seconds: float) -> int:
        policy = self._policy
        by_cpu = cursor.wall_seconds / (policy.cpu_per_read * cursor.cpu_seconds) if cursor.cpu_seconds else math.inf
        by_memory = policy.max_bytes_in_flight // max(page.size, 1)
        max_cursors = int(min(policy.max_cursors, by_memory, policy.cursors_per_request * by_cpu))
        pages_left = cursor.pagination.pages_left + sum(other.pages_left for other in self._cursors)
        requests = self._client.useful_concurrency(cursor.pagination.tier)
        return self._limit.usable(requests, seconds * pages_left, max_cursors)

    def _put(self, cursor: _Cursor, rows: Rows) -> None:
        """Hand rows over if it is the cursor's turn; else append them to its backlog."""
        with self._changed:
            self._wait_until(lambda: self._has_room(cursor))
            if self._is_turn(cursor):
                cursor.next = rows
            else:
                cursor.backlog.append(rows)
            self._changed.notify_all()

    def _has_room(self, cursor: _Cursor) -> bool:
        if self._is_turn(cursor):
            return cursor.next is None
        return sum(each.backlog.size_bytes for each in self._cursors) < self._policy.max_bytes_on_disk

    def _is_turn(self, cursor: _Cursor) -> bool:
        return cursor is self._cursors[0] and not cursor.backlog.waiting

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._stop.is_set() or is_so())
        if self._stop.is_set():
            raise StoppedError
