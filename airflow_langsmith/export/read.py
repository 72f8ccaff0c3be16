"""The rows of a view, each once, as pages of runs come from several cursors or from checkpoints."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page
from airflow_langsmith.export.checkpoints import Checkpoint, Checkpoints
from airflow_langsmith.export.cursor_limit import ParallelReadPolicy
from airflow_langsmith.export.parallel_read import MakeRows, ParallelRead
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.row_file import RowCodec
from airflow_langsmith.views import Rows, View
from airflow_langsmith.views.reading import MAX_RUN_IDS, queries_of_runs

log = logging.getLogger(__name__)


@dataclass
class RowReader:
    """
    Reads the rows of a view, in their order, redacted before a disk or another thread has them.

    :param download: Downloads the attachments of a page of runs.
    :param checkpoints: Those of earlier attempts, and of this one for the next.
    """

    client: LangSmithClient
    query: RunQuery
    view: View
    redact: Callable[[Rows], Rows]
    download: Callable[[LangSmithClient, Page], None] | None
    progress: Progress
    directory: Path
    checkpoints: Checkpoints
    policy: ParallelReadPolicy
    _keys: IdSet = field(default_factory=IdSet, init=False)  # of the rows so far
    _keys_lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def rows(self) -> Generator[Rows]:
        """Yield all rows, some at a time."""
        negotiator = self.client.negotiator
        for listing in self.view.listings(self.query, negotiator):
            rows = self.client.drive(listing)
            self.progress.add(rows.times or [], 0.0)
            self.progress.notify()
            yield self.redact(rows)
        queries = self.client.drive(self.view.queries(self.query, negotiator))
        parts: list[tuple[RunQuery, Checkpoint | None]] = [(query, None) for query in queries]
        make = make_and_record = self._make()
        if self.view.is_resumable:
            parts = self.checkpoints.split(self.query)
            make_and_record = self.checkpoints.recorded(make)
        whole = sum((query.end - query.start for query, _ in parts), timedelta(0))
        for query, checkpoint in parts:
            done, share = self.progress.share, (query.end - query.start) / whole
            recorded = checkpoint.rows(self.progress) if checkpoint else None
            yield from self._once(closing(recorded) if recorded else self._cursors(query, make_and_record, share))
            self.progress.share = done + share
            self.progress.notify()
        self.progress.share = 1.0
        if self.progress.repeated and self.query in queries:
            for query in self._queries_of_missed_runs():
                yield from self._once(self._cursors(query, make, 0.0))

    def _make(self) -> MakeRows:
        read_page = self.view.reader(self.query, self.client.negotiator, self._is_exported)

        def make(client: LangSmithClient, pages: Pagination, page: Page) -> Iterator[Rows]:
            if self.download:
                self.download(client, page)
            for flow in read_page(pages, page):
                yield self.redact(client.drive(flow))

        return make

    def _cursors(self, query: RunQuery, make: MakeRows, share: float) -> ParallelRead:
        done = self.progress.share

        def count(page: Page, share_of_query: float) -> None:
            pending = [run.end_time for run in page.runs].count(None)
            self.progress.add([run.start_time for run in page.runs], done + share * share_of_query, pending)

        return ParallelRead(
            self.client,
            self.client.pagination(query),
            make,
            count,
            self.progress.notify,
            RowCodec(self.view),
            self.directory,
            self.policy,
        )

    def _once(self, batches: AbstractContextManager[Iterable[Rows]]) -> Iterator[Rows]:
        """
        Leave out the rows whose key came before, in whichever part of the window, of this attempt or an earlier one.

        A run whose start changes while the window is read comes at its old place and at its new one.
        """
        missing_payloads = self.view.missing_payloads
        with batches as all_rows:
            for rows in all_rows:
                with self._keys_lock:
                    places = self._keys.add(rows.keys or ())
                new = rows if rows.keys is None or len(places) == rows.count else rows.at(places)
                if self.view.row_is_run:
                    self.progress.leave_out(rows.count - new.count, sum(rows.pending or ()) - sum(new.pending or ()))
                if missing_payloads in self.view.columns:
                    names = new.columns[self.view.columns.index(missing_payloads)]
                    self.progress.add_missing(self.view.log_names(new), names)
                yield new

    def _is_exported(self, key: str) -> bool:
        with self._keys_lock:
            return key in self._keys

    def _queries_of_missed_runs(self) -> Iterator[RunQuery]:
        """
        Look for the runs of a window again, and yield the queries for those that have no row.

        If runs come twice, start times change at the moment. Then other runs may have been moved the other way, out of
        what was still to be read.
        """
        log.warning("%s runs came more than once; the first copy of each is exported", f"{self.progress.repeated:,}")
        log.warning("Start times seem to change at the moment: looking for runs that were missed")
        runs = self.client.runs(replace(self.query, fields=("id",), page_size=None))
        missed = (run.id for run in runs if not self._is_exported(run.id))
        while run_ids := list(islice(missed, MAX_RUN_IDS)):
            yield from queries_of_runs(self.query, run_ids)
