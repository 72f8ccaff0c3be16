"""The work on a bulk export: adopt or create it, wait until it has ended, and verify what it wrote."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_langsmith.api.bulk_exports import (
    create_bulk_export,
    list_bulk_exports,
    list_runs_of,
    newest,
    read_bulk_export,
)
from airflow_langsmith.api.bulk_output import BulkOutput
from airflow_langsmith.api.bulk_records import BulkDestination, BulkExport
from airflow_langsmith.api.bulk_request import BulkExportRequest
from airflow_langsmith.api.bulk_verification import failure_of, verified_output
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.flow import Backoff, read_all
from airflow_langsmith.errors import (
    ApiError,
    BulkExportError,
    ConfigurationError,
    LangSmithError,
    NotFoundError,
    ServerError,
)
from airflow_langsmith.export.bulk import BulkSource
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.messages import format_message
from airflow_langsmith.operators.bulk_export_of_task import BulkExportOfTask
from airflow_langsmith.waiting import BulkExportWatch, BulkSelection
from airflow_langsmith.waiting.watch import FailedLooks, LogThrottle

Reuse = Literal["running", "completed", "none"]

log = logging.getLogger(__name__)

RUNNING = "running"
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(kw_only=True)
class BulkExportJob:
    """
    Makes ``export`` an export of ``request``, waits for it, and returns what it wrote.

    :param files_at: The root of the bucket, as the worker reads it. None: the files are not looked at.
    """

    client: LangSmithClient
    export: BulkExportOfTask
    request: BulkExportRequest
    destination: BulkDestination
    files_at: StoragePath | None

    def resume(self, *, may_cancel: bool) -> str:
        """
        Return the state of the export of an earlier try, or why it is of no use.

        :param may_cancel: Whether to cancel one of another request, or of before the task was cleared.
        """
        export = self.export
        if export.is_of_cleared_task or export.request is None or export.request.body != self.request.body:
            if may_cancel:
                self.client.drive(export.cancel(self._backoff))
            return "of a task that was cleared or changed"
        self.client.drive(export.find(self._backoff))
        if not export.export_id:
            return "not created"
        export.save()
        try:
            current = self.read()
        except NotFoundError:
            return "gone"
        return current.state if current.has_ended else RUNNING  # also in a state that this version does not know

    def begin(self, reuse: Reuse) -> None:
        """Adopt an export of the request, or create one."""
        self.export.begin(self.request)
        exports = self.client.drive(read_all(list_bulk_exports(self._backoff)))
        same = sorted(filter(self.request.matches, exports), key=lambda export: export.created, reverse=True)
        running = [export for export in same if not export.has_ended] if reuse != "none" else []
        if other := newest(running) or (self._whole(same) if reuse == "completed" else None):
            self.export.take(other.id, is_own=False)
            log.info("Adopting bulk export %s, which is %s", other.id, other.status)
            return
        self.export.since = max((export.created for export in exports), default=_NEVER)
        self.export.save()
        try:
            created = self.client.drive(
                create_bulk_export(self.request, {export.id for export in exports}, self._backoff)
            )
        except ApiError as error:
            if not isinstance(error, ServerError):  # of any other answer it is certain that nothing was created
                self.export.since = None
                self.export.forget()
            raise
        self.export.take(created.id, is_own=True)
        log.info("Started bulk export %s", created.id)

    def read(self) -> BulkExport:
        """Read the export."""
        export = self.client.drive(read_bulk_export(self.export.export_id, self._backoff))
        self.export.has_ended = export.has_ended
        return export

    def wait(self, deadline: datetime, poll_interval: float) -> None:
        """
        Look every ``poll_interval`` seconds until the export has ended, well or not.

        :raises BulkExportError: if it has not ended by the deadline.
        """
        watch = BulkExportWatch(selection=BulkSelection(export_id=self.export.export_id))
        failed, throttle, line = FailedLooks(), LogThrottle(), "none"
        while True:
            now = datetime.now(UTC)
            is_last = now >= deadline
            try:
                outcome = self.client.drive(watch.look(self.client.negotiator))
            except LangSmithError as error:
                line = failed.tolerate(error, is_last=is_last)
            else:
                failed.in_a_row, line = 0, outcome.line
                if outcome.state != "waiting":
                    return
            if is_last:
                raise self.overdue(line)
            if throttle.is_due(line, now):
                log.info(line)
            time.sleep(min(poll_interval, max((deadline - now).total_seconds(), 0.0)))

    def overdue(self, last_check: str) -> BulkExportError:
        """Return the error of an export that did not end in time."""
        return BulkExportError(
            f"Bulk export {self.export.export_id} has not ended within the timeout. If Airflow tries the task again, "
            "it waits for the same one.\n"
            f"Last check: {last_check}"
        )

    def output(self) -> tuple[BulkOutput, BulkSource | None, int | None]:
        """
        Return what the export wrote, and its files with their bytes, if the worker can read them.

        :raises BulkExportError: if it failed, or did not write its whole window.
        """
        export = self.read()
        if not export.is_completed:
            raise failure_of(export, self.client.drive(read_all(list_runs_of(export.id, self._backoff))))
        return self._verified(export)

    @property
    def _backoff(self) -> Backoff:
        return self.client.negotiator.backoff

    def _whole(self, exports: list[BulkExport]) -> BulkExport | None:
        """Return the first export that completed, and whose files are there."""
        for export in exports:
            if export.is_completed:
                try:
                    self._verified(export)
                except BulkExportError as error:
                    for line in format_message(f"Not adopting bulk export {export.id}.", error.cause).splitlines():
                        log.warning("%s", line)
                else:
                    return export
        return None

    def _verified(self, export: BulkExport) -> tuple[BulkOutput, BulkSource | None, int | None]:
        runs = self.client.drive(read_all(list_runs_of(export.id, self._backoff)))
        output = verified_output(export, runs, self.destination, files_are_counted=self.files_at is not None)
        source = BulkSource(output, self.files_at) if self.files_at is not None else None
        return output, source, source.check() if source else None


def check_bucket(destination: BulkDestination, files_at: str) -> None:
    """
    Refuse another bucket than the one that LangSmith writes to, and a folder of it.

    :raises ConfigurationError: naming what to give.
    """
    scheme, _, place = files_at.partition("://")
    (root, _, folder), written = place.partition("/"), destination.config.bucket_name
    bucket = root.rpartition("@")[2]
    if bucket and written and bucket != written:
        raise ConfigurationError(
            f"files_at names the bucket {bucket!r}, but LangSmith writes to {written!r}, by the destination "
            f"{destination.display_name!r} {destination.id}. Give {scheme}://conn_id@{written}, or another "
            "bulk_destination_id."
        )
    if bucket and folder.strip("/"):
        raise ConfigurationError(
            f"files_at names the folder {folder!r}, but the names of the files of a bulk export begin at the root of "
            f"the bucket. Give {scheme}://{root}."
        )
