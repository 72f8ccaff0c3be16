"""The bulk export that a task waits for: which one it is, whether the task started it, and what it wrote."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from airflow_langsmith.api.bulk_exports import (
    cancel_bulk_export,
    create_bulk_export,
    find_new,
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
from airflow_langsmith.errors import BulkExportError, ConfigurationError, LangSmithError
from airflow_langsmith.export.bulk import BulkSource
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.messages import MAX_LINE, shorten
from airflow_langsmith.waiting import BulkExportWatch, BulkSelection
from airflow_langsmith.waiting.watch import FailedLooks, LogThrottle

Reuse = Literal["running", "completed", "none"]
MAX_CANCEL_SECONDS = 10.0  # Airflow waits no longer for a task that it kills

log = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(kw_only=True)
class BulkExportJob:
    """
    A bulk export of ``request``, from its adoption or creation to its files.

    ``export_id`` is empty until there is one. ``is_own`` says that this task started it, now or in an earlier try, so
    that this task may cancel it.

    :param files_at: The root of the bucket, as the worker reads it. None: the files are not looked at.
    """

    client: LangSmithClient
    request: BulkExportRequest
    destination: BulkDestination
    files_at: StoragePath | None
    export_id: str = ""
    is_own: bool = False
    has_ended: bool = field(default=False, init=False)
    _ids_before: set[str] | None = field(default=None, init=False)  # while a creation may be under way

    def begin(self, reuse: Reuse, since: datetime | None, before_creation: Callable[[datetime], None]) -> None:
        """
        Adopt an export of the request, or create one.

        :param since: An earlier try was about to create one when all others were created by then.
        :param before_creation: Called with that moment before an export is created.
        """
        exports = self.client.drive(read_all(list_bulk_exports(self._backoff)))
        same = sorted(filter(self.request.matches, exports), key=lambda export: export.created, reverse=True)
        own = [export for export in same if since and export.created > since and not _has_failed(export)]
        running = [export for export in same if not export.has_ended] if reuse != "none" else []
        if started := newest(own):
            self.export_id, self.is_own = started.id, True
            log.info("Bulk export %s was started by an earlier try of this task", started.id)
        elif other := newest(running) or (self._whole(same) if reuse == "completed" else None):
            self.export_id, self.is_own = other.id, False
            log.info("Adopting bulk export %s of the same request: it is %s", other.id, other.status)
        else:
            before_creation(max((export.created for export in exports), default=_NEVER))
            self._ids_before = {export.id for export in exports}
            created = self.client.drive(create_bulk_export(self.request, self._ids_before, self._backoff))
            self.export_id, self.is_own, self._ids_before = created.id, True, None
            log.info("Started bulk export %s", created.id)

    def read(self) -> BulkExport:
        """Read the export."""
        return self.client.drive(read_bulk_export(self.export_id, self._backoff))

    def wait(self, deadline: datetime, poll_interval: float) -> None:
        """
        Look every ``poll_interval`` seconds until the export has ended, well or not.

        :raises BulkExportError: if it has not ended by the deadline.
        """
        watch = BulkExportWatch(selection=BulkSelection(export_id=self.export_id))
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
            f"Bulk export {self.export_id} has not ended within the timeout. A retry waits for the same export.\n"
            f"Last check: {last_check}"
        )

    def output(self) -> tuple[BulkOutput, BulkSource | None, int | None]:
        """
        Return what the export wrote, and its files with their bytes, if the worker can read them.

        :raises BulkExportError: if it failed, or did not write its whole window.
        """
        export = self.read()
        self.has_ended = export.has_ended
        if not export.is_completed:
            raise failure_of(export, self.client.drive(read_all(list_runs_of(export.id, self._backoff))))
        return self._verified(export)

    def cancel(self) -> None:
        """Cancel the export if this task started it and it has not ended. A failure is logged."""
        if self.has_ended:
            return
        settings = self.client.settings
        settings = replace(settings, timeout=min(settings.timeout, MAX_CANCEL_SECONDS), max_retries=0)
        try:
            with LangSmithClient(settings) as client:
                if not self.export_id and self._ids_before is not None:  # it may have been created
                    created = client.drive(find_new(self.request, self._ids_before, Backoff(retries=0)))
                    self.export_id, self.is_own = (created.id, True) if created else ("", False)
                if self.export_id and self.is_own:
                    export = client.drive(cancel_bulk_export(self.export_id, Backoff(retries=0)))
                    log.info("Bulk export %s is %s", export.id, export.status)
        except Exception as error:  # noqa: BLE001  # another error ends the task, and the next try adopts the export
            which = self.export_id or f"of {self.request.window}"
            log.warning("Bulk export %s may still run, because it was not cancelled", which)
            log.warning("%s", shorten(str(error), MAX_LINE))

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
                    log.warning("Not adopting bulk export %s: %s", export.id, error.cause)
                else:
                    return export
        return None

    def _verified(self, export: BulkExport) -> tuple[BulkOutput, BulkSource | None, int | None]:
        runs = self.client.drive(read_all(list_runs_of(export.id, self._backoff)))
        output = verified_output(export, runs, self.destination, files_are_counted=self.files_at is not None)
        source = BulkSource(output, self.files_at) if self.files_at is not None else None
        return output, source, source.check() if source else None


def _has_failed(export: BulkExport) -> bool:
    return export.has_ended and not export.is_completed


def check_bucket(destination: BulkDestination, files_at: str) -> None:
    """
    Refuse another bucket than the one that LangSmith writes to.

    :raises ConfigurationError: naming both.
    """
    scheme, _, place = files_at.partition("://")
    bucket, written = place.partition("/")[0].rpartition("@")[2], destination.config.bucket_name
    if bucket and written and bucket != written:
        raise ConfigurationError(
            f"files_at names the bucket {bucket!r}, but LangSmith writes to {written!r}, by the destination "
            f"{destination.display_name!r} {destination.id}. Give {scheme}://conn_id@{written}, or another "
            "bulk_destination_id."
        )
