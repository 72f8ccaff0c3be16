"""The records of Bulk Export: exports, their runs, and the destinations that LangSmith writes to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from airflow_langsmith.messages import shorten

_MAX_ERROR = 500  # characters; it may be a whole traceback
_ENDED = ("completed", "failed", "cancelled", "timedout")


class _Statused(msgspec.Struct, frozen=True, kw_only=True):
    """What has a status: an export or one of its runs."""

    id: str
    status: str

    @property
    def state(self) -> str:
        """The status in lower case: LangSmith writes it in either."""
        return self.status.lower()

    @property
    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self.state == "completed"

    @property
    def has_ended(self) -> bool:
        """Whether it ended, well or not."""
        return self.state in _ENDED


class BulkExport(_Statused, frozen=True, kw_only=True):
    """
    A bulk export, or a schedule of them.

    ``status`` is Created, Running, Completed, Failed, Cancelled or TimedOut, of a schedule IntervalScheduled. Servers
    of 2025 leave out the later fields.
    """

    bulk_export_destination_id: str | None = None
    session_id: str | None = None
    tenant_id: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    filter: str | UnsetType | None = UNSET
    format_version: str | UnsetType | None = UNSET
    compression: str | UnsetType | None = UNSET
    export_fields: list[str] | UnsetType | None = UNSET
    interval_hours: int | UnsetType | None = UNSET
    all_experiments: bool | UnsetType | None = UNSET
    source_bulk_export_id: str | None = None

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """The bounds of its runs' starts, the first inside; None for a schedule."""
        return (utc(self.start_time), utc(self.end_time)) if self.start_time and self.end_time else None

    @property
    def is_schedule(self) -> bool:
        """Whether it makes exports instead of files. It never completes."""
        return isinstance(self.interval_hours, int)

    @property
    def created(self) -> datetime:
        """When it was created, to find the newest."""
        return utc(self.created_at) if self.created_at else datetime.min.replace(tzinfo=UTC)


class BulkExportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a bulk export wrote. ``exported_files`` begin with the bucket, unless its host names it."""

    rows_written: int
    exported_files: list[str]
    pending_upload: Any = None


class BulkExportRunMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the window that a run of a bulk export writes, and its result once it has one."""

    start_time: datetime
    end_time: datetime
    prefix: str = ""
    execution_backend: str | None = None
    result: BulkExportResult | None = None


class BulkExportRun(_Statused, frozen=True, kw_only=True):
    """One run of a bulk export, for a part of its window; ``errors`` has a text for each try: ``retry_0``, ..."""

    metadata: BulkExportRunMetadata
    bulk_export_id: str | None = None
    retry_number: int = 0
    errors: dict[str, Any] | None = None

    @property
    def last_error(self) -> str:
        """The text of the last try, on one line."""
        errors = self.errors or {}
        return (
            shorten(str(errors[max(errors, key=_retry_number)]), _MAX_ERROR) if errors else "LangSmith names no error"
        )


class BulkDestinationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The bucket of a destination. Without ``include_bucket_in_prefix``, names of files leave the bucket out."""

    bucket_name: str | None = None
    prefix: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    include_bucket_in_prefix: bool | None = None


class BulkDestination(msgspec.Struct, frozen=True, kw_only=True):
    """A place that LangSmith writes to; its secrets stay with LangSmith."""

    id: str
    display_name: str = ""
    config: BulkDestinationConfig = BulkDestinationConfig()

    def key_of(self, file: str) -> str:
        """Return the place of an exported file below the bucket's root."""
        bucket = self.config.bucket_name
        return file.removeprefix(f"{bucket}/") if bucket and self.config.include_bucket_in_prefix is not False else file


def utc(moment: datetime) -> datetime:
    """Return a moment of LangSmith in UTC; one without a zone is UTC already."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _retry_number(name: str) -> int:
    number = name.rpartition("_")[2]
    return int(number) if number.isdecimal() else -1
