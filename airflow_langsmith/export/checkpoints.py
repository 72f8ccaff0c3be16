"""
Where a retry goes on: the rows of finished stretches of a window, kept beside the partition until it is published.

A checkpoint is one object, there whole or not at all. Its name tells by a digest what was asked, and by which task, and
to the microsecond which stretch of the window it holds; so it is found by later tries of that task which ask the same,
and by nothing else. They read it in place of LangSmith and ask for the rest of the window alone: no moment ever has
rows of two answers. Rows are kept as views make them, redacted; the later try shapes and encodes all of them.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airflow_langsmith import __version__
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.decoding import DECODE_ERRORS
from airflow_langsmith.api.last_page import MICROSECOND
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Run
from airflow_langsmith.errors import LangSmithError, StorageError
from airflow_langsmith.export.layout import checkpoint_at, checkpoint_name
from airflow_langsmith.export.parallel_read import Make
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.row_file import Batches, BatchFile
from airflow_langsmith.export.storage import StoragePath, store_at
from airflow_langsmith.views import Rows

log = logging.getLogger(__name__)

FEW = 20  # pages; to read so few again costs less than to keep them, unless they take long
OFTEN = 60.0  # seconds of work that a cursor loses with its worker at most
SPACING = 32  # and as a share of the pages it has read: one in so many
LARGEST = 16 * 1024 * 1024  # bytes of rows in a checkpoint before they are packed, about


@dataclass(frozen=True)
class TaskAttempt:
    """
    A try of a task. ``of`` names what it has in common with its next tries, and with nothing else.

    ``again`` says whether there may be a next one that nobody has to ask for; if not, nothing is kept.
    """

    of: str
    again: bool


@dataclass(frozen=True)
class Checkpoint:
    """The rows of the runs that started in ``[start, end)``, as an earlier try has read them."""

    path: StoragePath
    start: datetime
    end: datetime
    batches: Batches

    def rows(self, progress: Progress) -> Generator[Rows] | None:
        """Give them back, counted as they come; None where they are gone or broken, and are to be asked for again."""
        content = store_at(self.path.parent).read(self.path.name)
        try:
            if content is None:
                raise EOFError("it is gone")  # noqa: TRY301  # as bad as one that is cut short
            for _ in self.batches.whole(content):  # all or nothing: rows that were given cannot be taken back
                pass
        except (*DECODE_ERRORS, OSError, EOFError) as error:
            log.warning("What an earlier try kept cannot be read, so LangSmith is asked: %s", error)
            log.warning("It was kept at %s", self.path)
            return None
        return self._counted(content, progress)

    def _counted(self, content: bytes, progress: Progress) -> Generator[Rows]:
        for batch in self.batches.unpack(content):
            progress.count(batch.starts, sum(batch.rows.pending or ()))
            yield batch.rows


class Checkpoints:
    """
    Keeps the rows that cursors have read, and gives back those that an earlier try has kept.

    After a retriable error the checkpoints stay for the next attempt. Otherwise they are deleted. The log says which.

    :param path: The partition.
    :param attempt: The attempt of the task. None disables checkpoints.
    :param asked: What tells these rows from others, as JSON takes it.
    """

    def __init__(
        self,
        path: StoragePath,
        client: LangSmithClient,
        attempt: TaskAttempt | None,
        asked: Any,
        batches: Batches,
        directory: Path,
    ) -> None:
        self._path, self._store = path, store_at(path)
        self._client = client
        self._attempt = attempt
        self._keeps = attempt is not None and attempt.again
        self._asked = [__version__, client.settings.api_url, attempt and attempt.of, asked, batches.codec]
        self._batches = batches
        self._directory = directory
        self._found: list[Checkpoint] = []
        self._kept: list[str] = []
        self._kept_length = timedelta(0)
        self._stretches: dict[Pagination, _Stretch] = {}
        self._pages = 0
        self._whole = self._passed = timedelta(0)  # the window, and what was behind before it proved long
        self._is_long = False
        self._files = count()
        self._uploading = threading.Lock()  # by one cursor at a time: a client of S3 has most of it in memory
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Look for what earlier tries have kept."""
        if self._attempt is None:
            return self
        mark = self._mark
        stretches = ((name, checkpoint_at(name, mark)) for name in self._store.sizes())
        found = [Checkpoint(self._path / name, *stretch, self._batches) for name, stretch in stretches if stretch]
        self._found = sorted(found, key=lambda one: (one.end, one.end - one.start), reverse=True)
        if found:
            self._client.negotiator.confirm()  # a change of API version now would mix two kinds of sums
            self._is_long = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to the next try, or remove it."""
        for stretch in self._stretches.values():
            with suppress(StorageError, ValueError):  # nobody needs it any more; and it may have been closed
                stretch.file.close()
        again = self._attempt is not None and self._attempt.again
        known = [*(one.path.name for one in self._found), *self._kept]
        if known and error is not None and again and getattr(error, "retriable", True):
            log.info("Kept %.0f %% of the window: a retry goes on from there, a clear begins anew.", self._percent())
            return
        try:
            if known:
                self._store.delete(self._store.sizes().keys() & known)  # most often they went with the publication
        except LangSmithError as failure:
            if error is None:
                raise
            error.add_note(f"What was kept for a retry is still there; the next export removes it. {failure}")
        if error is not None and not isinstance(error, Exception):  # the task was killed, or ran out of time
            log.info("Kept nothing of what was read: a retry or a clear begins anew.")

    def pieces(self, query: RunQuery) -> list[tuple[RunQuery, Checkpoint | None]]:
        """Cut the window of a query, newest first, into what has been kept, with its checkpoint, and what has not."""
        pieces: list[tuple[RunQuery, Checkpoint | None]] = []
        end, kept = query.end, timedelta(0)
        for found in self._found:
            if found.end <= end:  # two tries at the same time may both have kept a moment
                pieces += [(query.within(found.end, end), None)] if found.end < end else []
                pieces += [(query.within(found.start, found.end), found)]
                end, kept = found.start, kept + (found.end - found.start)
        pieces += [(query.within(query.start, end), None)] if query.start < end else []
        if self._found:
            share = kept / (query.end - query.start)
            log.info("Going on from an earlier try, which has kept %.0f %% of the window", 100 * share)
        return pieces

    def keeping(self, make: Make, whole: timedelta) -> Make:
        """Keep the rows that are made of pages, one for each run, where the whole window is a long one to read."""
        self._whole = whole

        def kept(client: LangSmithClient, walk: Pagination, page: Page) -> Iterator[Rows]:
            for rows in make(client, walk, page):
                if self._keeps:
                    self._keep(walk, page.runs, rows)
                yield rows

        return kept

    def _keep(self, walk: Pagination, runs: list[Run], rows: Rows) -> None:
        since = walk.complete_since
        if since is None:
            log.warning("Runs do not come newest first; should this try fail, the next one has to begin anew")
            self._keeps = False
            with self._uploading:
                self._store.delete(self._kept)  # runs of stretches that seemed finished may come yet
            return
        try:
            self._add(walk, since, runs, rows)
        except (StorageError, OverflowError) as error:
            log.warning("Should this try fail, the next one has to read again what comes from here on: %s", error)
            self._keeps = False

    def _add(self, walk: Pagination, since: datetime, runs: list[Run], rows: Rows) -> None:
        if walk not in self._stretches:
            self._stretches[walk] = _Stretch(walk.query.end, self._file())
        stretch = self._stretches[walk]
        stretch.pages += 1
        self._pages += 1
        finished = sum(run.start_time >= since for run in runs)  # others may have some beside them on the next page
        is_finished = stretch.is_finished(since)
        if is_finished and not self._is_worth_it(stretch.end - since, runs):
            stretch.drop()
            stretch.begin(since, self._file())
        else:
            stretch.add(runs[:finished], rows.part(0, finished))
            if is_finished and self._is_time(stretch, last=walk.done):
                self._put(stretch, since)
                stretch.begin(since, self._file())
        stretch.add(runs[finished:], rows.part(finished, rows.count))
        if walk.done:
            self._stretches.pop(walk).drop()

    def _put(self, stretch: _Stretch, since: datetime) -> None:
        stretch.file.close()
        name = checkpoint_name(self._mark, since, stretch.end)
        with self._uploading:
            if self._keeps:
                self._kept.append(name)
                self._kept_length += stretch.end - since
                self._store.put(stretch.file.path, name)
        stretch.file.path.unlink()

    def _is_worth_it(self, passed: timedelta, runs: list[Run]) -> bool:
        """Tell, by a page and by how much of the window is behind, whether it will be long to the end."""
        if not self._is_long:
            self._passed += passed
            span = runs[0].start_time - runs[-1].start_time if runs else MICROSECOND
            pages = self._pages + (self._whole - self._passed) / max(span, MICROSECOND)
            seconds = (time.monotonic() - self._began) / self._pages * pages
            self._is_long = pages >= FEW or seconds >= OFTEN
        return self._is_long

    def _is_time(self, stretch: _Stretch, *, last: bool) -> bool:
        now = time.monotonic()
        if self._pages < FEW and now < self._began + OFTEN and stretch.file.size < LARGEST and not self._found:
            return False
        return (
            last
            or (stretch.pages - stretch.pages_before) * SPACING >= stretch.pages
            or now >= stretch.began + OFTEN
            or stretch.file.size >= LARGEST
        )

    def _percent(self) -> float:
        """How much of the window is kept."""
        found = sum((one.end - one.start for one in self._found), timedelta(0))
        return 100 * (found + self._kept_length) / self._whole if self._whole else 0.0

    def _file(self) -> BatchFile:
        return BatchFile(self._directory / f"checkpoint-{next(self._files)}", self._batches)

    @property
    def _mark(self) -> str:
        digest = sha256(json.dumps(self._asked, default=str).encode()).hexdigest()
        return f"{digest[:16]}-{self._client.api_version()}"


class _Stretch:
    """What a walk has read and no checkpoint holds yet: the runs that started before ``end``."""

    def __init__(self, end: datetime, file: BatchFile) -> None:
        self.pages = 0
        self.begin(end, file)

    def begin(self, end: datetime, file: BatchFile) -> None:
        """Begin the next one where the last one has its start."""
        self.end, self.file = end, file
        self.pages_before, self.began = self.pages, time.monotonic()
        self._oldest = end

    def drop(self) -> None:
        """Let go of what no checkpoint is to hold."""
        self.file.close()
        self.file.path.unlink()

    def add(self, runs: list[Run], rows: Rows) -> None:
        """Take rows, newest run first."""
        self.file.write(runs, rows)
        if runs:
            self._oldest = runs[-1].start_time

    def is_finished(self, since: datetime) -> bool:
        """Tell whether it holds all runs, and no others, that started in ``[since, end)``."""
        return since < self.end and since <= self._oldest
