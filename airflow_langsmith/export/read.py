"""The rows of a view, each once, as pages of runs come from several cursors or from checkpoints."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.media_types import extension
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.payloads import download_attachments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Attachment, Page
from airflow_langsmith.export.checkpoints import Checkpoint, Checkpoints
from airflow_langsmith.export.distinct_rows import DistinctRows
from airflow_langsmith.export.layout import attachment_name
from airflow_langsmith.export.parallel_read import MakeRows, ParallelRead, ReadJob
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.manifest import ManifestAttachment
from airflow_langsmith.views import Rows
from airflow_langsmith.views.reading import MAX_RUN_IDS, queries_of_runs

log = logging.getLogger(__name__)


@dataclass
class _Attachments:
    """Downloads what the runs of a page had attached, a few files at a time, and publishes each at once."""

    job: ReadJob
    publication: Publication
    names: dict[str, str] = field(default_factory=dict)  # by digest: the first type of a content decides its extension

    def download(self, client: LangSmithClient, page: Page) -> None:
        """Download and publish the attachments of a page, and write into its runs where each lies."""
        backoff, flag = client.negotiator.backoff, self.job.query.payloads == "flag"
        flow = download_attachments(
            page.attachments, lambda number: self._path(number).open("wb"), self._publish, backoff, flag=flag
        )
        client.drive(flow)

    def _path(self, number: int) -> Path:
        return self.job.directory / f"attachment-{number}"

    def _publish(self, number: int, attachment: Attachment) -> None:
        local = self._path(number)
        size = local.stat().st_size
        with local.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        name = self.names.setdefault(sha256, attachment_name(sha256, extension(attachment.type)))
        attachment.file = self.publication.attach(local, ManifestAttachment(name=name, bytes=size, sha256=sha256))


@dataclass
class RowReader:
    """
    Reads the rows of a view, in their order, redacted before a disk or another thread has them.

    :param publication: Takes the attachments, if the view downloads them.
    :param checkpoints: Those of earlier attempts, and of this one for the next.
    """

    job: ReadJob
    redact: Callable[[Rows], Rows]
    publication: Publication
    checkpoints: Checkpoints
    _distinct: DistinctRows = field(init=False)

    def __post_init__(self) -> None:
        self._distinct = DistinctRows(self.job.view, self.job.progress)

    def rows(self) -> Generator[Rows]:
        """Yield all rows, some at a time."""
        client, query, view, progress = self.job.client, self.job.query, self.job.view, self.job.progress
        for listing in view.listings(query, client.negotiator):
            rows = client.drive(listing)
            progress.count(rows.times or [], pages=1)
            progress.on_page(progress)
            yield self.redact(rows)
        queries = client.drive(view.queries(query, client.negotiator))
        parts: list[tuple[RunQuery, Checkpoint | None]] = [(part, None) for part in queries]
        make = make_and_record = self._make()
        if view.is_resumable:
            parts = self.checkpoints.split(query)
            make_and_record = self.checkpoints.recorded(make)
        whole = sum((part.window.length for part, _ in parts), timedelta(0))
        for part, checkpoint in parts:
            done, share = progress.share, part.window.length / whole
            recorded = self.checkpoints.rows(checkpoint) if checkpoint else None
            # A run whose start changes while the window is read comes at its old place and at its new one.
            yield from self._distinct.of(recorded or ParallelRead(self.job, part, make_and_record, share).rows())
            progress.share = done + share
            progress.on_page(progress)
        progress.share = 1.0
        if progress.repeated and query in queries:
            for missed in self._queries_of_missed_runs():
                yield from self._distinct.of(ParallelRead(self.job, missed, make, 0.0).rows())

    def _make(self) -> MakeRows:
        view, attachments = self.job.view, _Attachments(self.job, self.publication)
        read_page = view.reader(self.job.query, self.job.client.negotiator, self._distinct.__contains__)

        def make(client: LangSmithClient, pages: Pagination, page: Page) -> Iterator[Rows]:
            if view.downloads_attachments:
                attachments.download(client, page)
            for flow in read_page(pages, page):
                yield self.redact(client.drive(flow))

        return make

    def _queries_of_missed_runs(self) -> Iterator[RunQuery]:
        """
        Look for the runs of a window again, and yield the queries for those that have no row.

        If runs come twice, start times change at the moment. Then other runs may have been moved the other way, out of
        what was still to be read.
        """
        log.warning(
            "%s runs came more than once; the first copy of each is exported", f"{self.job.progress.repeated:,}"
        )
        log.warning("Start times seem to change at the moment: looking for runs that were missed")
        runs = self.job.client.runs(replace(self.job.query, fields=("id",), page_size=None))
        missed = (run.id for run in runs if run.id not in self._distinct)
        while run_ids := list(islice(missed, MAX_RUN_IDS)):
            yield from queries_of_runs(self.job.query, run_ids)
