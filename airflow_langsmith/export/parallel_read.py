"""One window read by several cursors at once, its rows in the order that one would give."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_langsmith.api.client import LangSmithClient, StoppedError
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.records import Page
from airflow_langsmith.export.cursor_limit import MOST, SPARE, CursorLimit, cursors_wanted, parts_of
from airflow_langsmith.export.spool import Backlog
from airflow_langsmith.views import Rows

WORK = 3  # times what a page costs to read, until its rows are in a file; threads do not share that
IN_FLIGHT = 32 * 1024 * 1024  # bytes of pages that are read at a time
MOST_ON_DISK = 2 * 1024**3  # bytes of rows that wait for their turn, and a page more
LOOK_AGAIN = 0.05  # seconds; a thread may have asked anew just after it was interrupted

Make = Callable[[LangSmithClient, Pagination, Page], Iterator[Rows]]
Count = Callable[[Page, float], None]


class Stretch:
    """A part of the window that one cursor reads, and its rows that nobody has taken yet."""

    def __init__(self, walk: Pagination, pages_left: float, path: Path) -> None:
        self.walk = walk
        self.left, self.pages_left = walk.remaining, pages_left
        self.ended = False
        self.waited = self.worked = 0.0  # seconds its pages took, and of these the processor
        self.next: Rows | None = None
        self.backlog = Backlog(path)


class Cursors:
    """
    Reads a walk with as many cursors as the budget has use for, ``most`` at most, each in a thread of its own.

    Whoever has read a page and has the most left shares that with new cursors, while latency times budget asks for more
    of them, pages per second grow by them (:class:`CursorLimit`), and neither the processor nor memory asks for less.
    While there are too many, the oldest stretches wait. Stretches keep their order, newest first: the rows of the first
    one are handed over as they come, one batch ahead. Others wait on the local disk, where all of them together have
    one room. Iterate once, within a ``with``: at its end, however it is reached, no thread is left. The first error of
    any cursor is raised.

    :param make: Makes rows of a page of a walk; called in the cursor's thread, with the client to use there.
    :param count: Takes note of a page and of how much of the window has been read; in some thread, one at a time.
    :param tell: Called after that, in the reader's thread.
    """

    def __init__(
        self,
        client: LangSmithClient,
        walk: Pagination,
        make: Make,
        count: Count,
        tell: Callable[[], None],
        *,
        directory: Path,
        most: int | None = None,
    ) -> None:
        self._stop = threading.Event()
        self._client = client.stopped_by(self._stop)
        self._make, self._count, self._tell = make, count, tell
        self._directory = directory
        self._most = most or MOST
        self._walk, self._window = walk, walk.remaining
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()  # guards what follows
        self._stretches: list[Stretch] = []
        self._limit = CursorLimit()
        self._untold = False
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """Begin to read, with one cursor."""
        with self._changed:
            self._begin([self._walk], 0, math.inf)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all threads, whatever they are waiting for."""
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        for thread in self._threads:
            while thread.is_alive():
                self._client.interrupt()
                thread.join(LOOK_AGAIN)
        for stretch in self._stretches:
            stretch.backlog.close()

    def __iter__(self) -> Iterator[Rows]:
        """Give the rows, newest run first."""
        while self._stretches:
            with self._changed:
                self._changed.wait_for(self._is_news)
                if self._error is not None:
                    raise self._error
                untold, self._untold = self._untold, False
                rows = self._take()
            if untold:
                self._tell()
            if rows is not None:
                yield rows

    def _is_news(self) -> bool:
        first = self._stretches[0]
        return bool(self._error or self._untold or first.backlog or first.next or first.ended)

    def _take(self) -> Rows | None:
        """Take the next rows if they are there, and leave a stretch that has none any more."""
        first = self._stretches[0]
        if first.backlog:
            rows: Rows | None = first.backlog.take()
        else:
            rows, first.next = first.next, None
            if rows is None and first.ended:
                self._stretches.pop(0)
                first.backlog.close()
        self._changed.notify_all()
        return rows

    def _begin(self, walks: list[Pagination], place: int, pages_left: float) -> None:
        for number, walk in enumerate(walks, len(self._threads)):
            stretch = Stretch(walk, pages_left, self._directory / f"rows-{number}")
            thread = threading.Thread(target=self._read, args=(stretch,), name=f"langsmith-cursor-{number}")
            self._stretches.insert(place, stretch)
            self._threads.append(thread)
            place += 1
            thread.start()

    def _read(self, stretch: Stretch) -> None:
        """Read a stretch to its end; what goes wrong goes to whoever iterates."""
        try:
            while not stretch.walk.done:
                self._read_page(stretch)
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001  # any at all, or the reader would wait for ever
            with self._changed:
                self._error = self._error or error
        with self._changed:
            stretch.ended = True
            self._changed.notify_all()

    def _read_page(self, stretch: Stretch) -> None:
        # On its own, so that the page and its rows are let go before the next page is waited for.
        with self._changed:
            self._wait_until(lambda: stretch in self._reading)
            changes = self._limit.changes
        began, paused, worked = time.monotonic(), self._client.thread_waited_seconds, time.thread_time()
        page = self._client.drive(stretch.walk.next_page())
        seconds = time.monotonic() - began
        stretch.waited += seconds
        stretch.worked += time.thread_time() - worked
        self._note(stretch, page, seconds - (self._client.thread_waited_seconds - paused), changes)
        for rows in self._make(self._client, stretch.walk, page):
            self._put(stretch, rows)

    @property
    def _reading(self) -> list[Stretch]:
        """The stretches that may be read now."""
        return [stretch for stretch in self._stretches if not stretch.ended][: self._limit.cursors]

    def _note(self, stretch: Stretch, page: Page, seconds: float, changes: int) -> None:
        """Take note of a page, and share what is left if that is worth it."""
        walk = stretch.walk
        with self._changed:
            wanted = 1 if walk.done else self._wanted(stretch, page, seconds)
            self._limit.add_page(seconds, changes, len(self._reading), wanted)
            others = [other.pages_left for other in self._stretches if other is not stretch and not other.ended]
            parts = parts_of(walk.pages_left, others, min(wanted, self._limit.cursors))
            older = walk.split_off(parts) if parts > 1 else []
            stretch.left, stretch.pages_left = walk.remaining, walk.pages_left
            self._begin(older, self._stretches.index(stretch) + 1, walk.pages_left)
            self._count(page, 1 - sum(other.left / self._window for other in self._stretches))
            self._untold = True
            self._changed.notify_all()

    def _wanted(self, stretch: Stretch, page: Page, seconds: float) -> int:
        useful = stretch.waited / (WORK * stretch.worked) if stretch.worked else math.inf
        most = int(min(self._most, IN_FLIGHT // max(page.size, 1), SPARE * useful))
        needed = self._client.useful_concurrency(stretch.walk.tier)
        left = seconds * (stretch.walk.pages_left + sum(other.pages_left for other in self._stretches))
        return cursors_wanted(needed, left, most, is_start=not self._limit.changes)

    def _put(self, stretch: Stretch, rows: Rows) -> None:
        """Hand rows over when it is their turn; keep them until then."""
        with self._changed:
            self._wait_until(lambda: self._has_room(stretch))
            if self._is_turn(stretch):
                stretch.next = rows
            else:
                stretch.backlog.add(rows)
            self._changed.notify_all()

    def _has_room(self, stretch: Stretch) -> bool:
        return stretch.next is None if self._is_turn(stretch) else self._on_disk < MOST_ON_DISK

    def _is_turn(self, stretch: Stretch) -> bool:
        return stretch is self._stretches[0] and not stretch.backlog

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._stop.is_set() or is_so())
        if self._stop.is_set():
            raise StoppedError

    @property
    def _on_disk(self) -> int:
        return sum(stretch.backlog.size for stretch in self._stretches)
