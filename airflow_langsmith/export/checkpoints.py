"""
Checkpoints: rows of a window that is not read to its end, kept beside the partition for a retry.

A checkpoint is one object, whole or absent. Its name has a digest of the task and of what it exports, and the part of
the window whose rows it has, to the microsecond::

    _checkpoint-3f9a1c2b00000000-v2-20250301T093000Z--20250301T120000.000001Z

A later attempt of the task reads it instead of LangSmith, and queries LangSmith for the rest of the window only. So the
rows of one moment are always of one answer. They are rows as the view makes them, redacted; the attempt that publishes
them transforms and encodes them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from itertools import count
from typing import Self

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.pagination import MICROSECOND, Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Run
from airflow_langsmith.errors import LangSmithError, StorageError
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.export.layout import checkpoint_name, checkpoint_window
from airflow_langsmith.export.parallel_read import MakeRows, ReadJob
from airflow_langsmith.export.row_file import RowCodec, RowFile, read_batches
from airflow_langsmith.export.storage import Store
from airflow_langsmith.views import Rows
from airflow_langsmith.windows import TimeWindow

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy:
    """
    Which exports have checkpoints, and how often each cursor writes one.

    :param min_pages: Pages of an export that has some; it costs less to read fewer again.
    :param every: How long a cursor reads between two; an export that takes as long has some, however few its pages.
    :param pages_per_page: A cursor that has read so many pages writes one for each page more, at most.
    :param max_bytes: Bytes of a checkpoint, and a page more: it is read as a whole.
    """

    min_pages: int = 20
    every: timedelta = timedelta(seconds=60)
    pages_per_page: int = 32
    max_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True)
class TaskAttempt:
    """
    An attempt of a task.

    ``task_key`` is the same for all attempts that may go on from one another, and differs for every other task run.
    ``may_retry`` says whether Airflow itself may start another attempt. If not, no checkpoints are written.
    """

    task_key: str
    may_retry: bool


@dataclass(frozen=True)
class Checkpoint:
    """An object with the rows of the runs that started in a window."""

    name: str
    window: TimeWindow


class Checkpoints:
    """
    Finds the checkpoints of earlier attempts, and writes those of this one.

    After a retriable error the checkpoints stay for the next attempt. Otherwise they are deleted. The log says which.

    :param path: The partition.
    :param attempt: The attempt of the task. None disables checkpoints.
    :param digest: Of the task and of all that makes its rows differ from those of another export.
    """

    def __init__(
        self,
        job: ReadJob,
        path: StoragePath,
        attempt: TaskAttempt | None,
        digest: str,
        codec: RowCodec,
        policy: CheckpointPolicy | None = None,
    ) -> None:
        self._job, self._client = job, job.client
        self._path, self._store = path, Store(path)
        self._attempt = attempt
        self._is_writing = self._may_retry = attempt is not None and attempt.may_retry
        self._digest, self._codec = digest, codec
        self._policy = policy or CheckpointPolicy()
        self._earlier: list[Checkpoint] = []
        self._written: list[Checkpoint] = []
        self._open: dict[Pagination, _OpenCheckpoint] = {}
        self._pages = 0
        self._is_long, self._short_length = False, timedelta(0)  # of the window, read before the export proved long
        self._file_numbers = count()
        self._uploading = threading.Lock()  # one cursor at a time, because a client of S3 has the file in memory
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._attempt is None:
            return self
        mark = self._mark
        windows = ((name, checkpoint_window(name, mark)) for name in self._store.sizes())
        earlier = [Checkpoint(name, window) for name, window in windows if window]
        self._earlier = sorted(earlier, key=lambda each: (each.window.end, each.window.length), reverse=True)
        if earlier:
            self._client.negotiator.confirm()  # another API version would mix two kinds of sums
            self._is_long = True
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        for checkpoint in self._open.values():
            checkpoint.file.remove()
        checkpoints = [*self._earlier, *self._written]
        if checkpoints and error is not None and self._may_retry and getattr(error, "retriable", True):
            percent = self._percent(checkpoints)
            log.info("Checkpoints of %.0f %% of the window stay: a retry reads the rest, a clear all.", percent)
            return
        try:
            if checkpoints:  # most often they went with the publication
                self._store.delete(self._store.sizes().keys() & {each.name for each in checkpoints})
        except LangSmithError as failure:
            if error is None:
                raise
            error.add_note(f"The checkpoints are still there; the next export removes them. {failure}")
        if error is not None and not isinstance(error, Exception):  # the task was killed, or ran out of time
            log.info("No checkpoint stays: a retry or a clear reads the whole window.")

    def split(self, query: RunQuery) -> list[tuple[RunQuery, Checkpoint | None]]:
        """Split the window of a query, newest part first; each part has its checkpoint, or None if there is none."""
        parts: list[tuple[RunQuery, Checkpoint | None]] = []
        end = query.end
        for checkpoint in self._earlier:
            window = checkpoint.window
            if window.end <= end:  # two attempts at the same time may both have written some of the window
                parts += [(query.within(window.end, end), None)] if window.end < end else []
                parts += [(replace(query, window=window), checkpoint)]
                end = window.start
        parts += [(query.within(query.start, end), None)] if query.start < end else []
        if self._earlier:
            percent = self._percent([checkpoint for _, checkpoint in parts if checkpoint])
            log.info("Checkpoints of earlier attempts hold %.0f %% of the window", percent)
        return parts

    def rows(self, checkpoint: Checkpoint) -> Generator[Rows] | None:
        """Return the rows of a checkpoint, counted as they are read; None if it is gone or broken."""
        content = self._store.read(checkpoint.name)
        try:
            if content is None:
                raise EOFError("it was removed")  # noqa: TRY301  # as bad as one that is cut short
            for _ in read_batches(BytesIO(content)):  # before the first row is used, because no row can be taken back
                pass
        except EOFError as error:
            log.warning("A checkpoint cannot be used, so its rows are read from LangSmith: %s", error)
            log.warning("It is %s", self._path / checkpoint.name)
            return None
        return self._counted(content)

    def _counted(self, content: bytes) -> Generator[Rows]:
        for rows in map(self._codec.decode, read_batches(BytesIO(content))):
            self._job.progress.count(rows.times or [], sum(rows.pending or ()))
            yield rows

    def recorded(self, make: MakeRows) -> MakeRows:
        """Return a ``make`` that also writes its rows, one for each run, to checkpoints if there are many pages."""

        def make_and_record(client: LangSmithClient, pagination: Pagination, page: Page) -> Iterator[Rows]:
            for rows in make(client, pagination, page):
                if self._is_writing:
                    self._record(pagination, page.runs, rows)
                yield rows

        return make_and_record

    def _record(self, pagination: Pagination, runs: list[Run], rows: Rows) -> None:
        since = pagination.complete_since
        if since is None:
            log.warning("Runs do not come newest first, so there are no checkpoints: a retry reads all again")
            self._is_writing = False
            with self._uploading:
                self._store.delete(each.name for each in self._written)  # runs of parts that seemed finished may come
            return
        try:
            self._add(pagination, since, runs, rows)
        except (StorageError, OSError) as error:
            log.warning("No more checkpoints: a retry reads again what is read from here on. %s", error)
            self._is_writing = False

    def _add(self, pagination: Pagination, since: datetime, runs: list[Run], rows: Rows) -> None:
        if pagination not in self._open:
            path = self._job.directory / f"checkpoint-{next(self._file_numbers)}"
            self._open[pagination] = _OpenCheckpoint(pagination.query.end, RowFile(path, self._codec))
        checkpoint = self._open[pagination]
        checkpoint.pages += 1
        self._pages += 1
        finished = sum(run.start_time >= since for run in runs)  # others may have some beside them on the next page
        # Whether it holds all runs, and no others, that started in [since, end).
        is_finished = since < checkpoint.end and since <= checkpoint.oldest
        if is_finished and not self._is_long_export(checkpoint.end - since, runs):
            checkpoint.begin(since)
        else:
            checkpoint.add(runs[:finished], rows.part(0, finished))
            if is_finished and self._is_due(checkpoint, is_last=pagination.done):
                self._upload(checkpoint, since)
                checkpoint.begin(since)
        checkpoint.add(runs[finished:], rows.part(finished, rows.count))
        if pagination.done:
            self._open.pop(pagination).file.remove()

    def _upload(self, checkpoint: _OpenCheckpoint, since: datetime) -> None:
        checkpoint.file.finish()
        window = TimeWindow(since, checkpoint.end)
        name = checkpoint_name(self._mark, window)
        with self._uploading:
            if self._is_writing:
                self._written.append(Checkpoint(name, window))
                self._store.put(checkpoint.file.path, name)

    def _is_long_export(self, length: timedelta, runs: list[Run]) -> bool:
        """Estimate, by the last page and by the length read so far, how many pages and seconds the export takes."""
        if not self._is_long:
            self._short_length += length
            span = runs[0].start_time - runs[-1].start_time if runs else MICROSECOND
            pages = self._pages + (self._job.query.window.length - self._short_length) / max(span, MICROSECOND)
            seconds = (time.monotonic() - self._began) / self._pages * pages
            self._is_long = pages >= self._policy.min_pages or seconds >= self._policy.every.total_seconds()
        return self._is_long

    def _is_due(self, checkpoint: _OpenCheckpoint, *, is_last: bool) -> bool:
        policy, now, is_full = self._policy, time.monotonic(), checkpoint.file.size_bytes >= self._policy.max_bytes
        every_seconds = policy.every.total_seconds()
        if self._pages < policy.min_pages and now < self._began + every_seconds and not is_full and not self._earlier:
            return False
        return (
            is_last
            or is_full
            or now >= checkpoint.began + every_seconds
            or (checkpoint.pages - checkpoint.pages_before) * policy.pages_per_page >= checkpoint.pages
        )

    def _percent(self, checkpoints: list[Checkpoint]) -> float:
        return 100 * sum((each.window.length for each in checkpoints), timedelta(0)) / self._job.query.window.length

    @property
    def _mark(self) -> str:
        return f"{self._digest}-{self._client.api_version()}"


class _OpenCheckpoint:
    """What a cursor has read since its last checkpoint: runs that started before ``end``, newest first."""

    def __init__(self, end: datetime, file: RowFile) -> None:
        self.pages, self.file = 0, file
        self.begin(end)

    def begin(self, end: datetime) -> None:
        self.file.clear()
        self.end = self.oldest = end
        self.pages_before, self.began = self.pages, time.monotonic()

    def add(self, runs: list[Run], rows: Rows) -> None:
        self.file.append(replace(rows, times=[run.start_time for run in runs]))
        if runs:
            self.oldest = runs[-1].start_time
