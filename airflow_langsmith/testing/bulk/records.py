"""Destinations, exports and their runs, and the bodies in which the API answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour, BulkFault

__all__ = ["BulkExport", "Destination", "ExportRequest", "ExportRun", "RunStatus", "Status", "body_of"]

RunStatus = Literal["Created", "Running", "Completed", "Failed", "Cancelled", "TimedOut"]
Status = RunStatus | Literal["IntervalScheduled"]

_ENDED = ("Completed", "Failed", "Cancelled", "TimedOut")
_NEW_FIELDS = (  # that bodies of 2025 do not have
    *("filter", "format_version", "export_fields", "all_experiments", "interval_hours", "source_bulk_export_id"),
    *("execution_backend", "include_bucket_in_prefix", "s3_additional_kwargs", "config_kwargs_s3", "aws_role_arn"),
)


@dataclass(slots=True)
class Destination:
    """
    A bucket and a prefix in it.

    ``root`` is the local folder, or any other path, that the bucket's root is in. ``credentials_keys`` names the stored
    credentials; nothing stores the credentials themselves.
    """

    id: str
    root: Any
    display_name: str
    config: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    credentials_keys: list[str] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """The folder of the exports in the bucket; empty for its root."""
        return str(self.config["prefix"]).strip("/")

    def name_file(self, key: str) -> str:
        """Return how an export names a file: with the bucket first, if the destination says so."""
        return f"{self.config['bucket_name']}/{key}" if self.config["include_bucket_in_prefix"] else key

    def fields(self, workspace_id: str) -> dict[str, Any]:
        """Return the fields of the API."""
        return {
            "destination_type": "s3",
            "display_name": self.display_name,
            "config": self.config,
            "id": self.id,
            "tenant_id": workspace_id,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "credentials_keys": self.credentials_keys,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export, and where to: the body that creates an export. Only a schedule has no ``end_time``."""

    bulk_export_destination_id: str
    session_id: str | None = None
    all_experiments: bool = False
    start_time: datetime
    end_time: datetime | None = None
    filter: str | None = None
    format: str = "Parquet"
    format_version: str = "v1"
    compression: str = "zstandard"
    interval_hours: int | None = None
    export_fields: list[str] | None = None


@dataclass(slots=True)
class ExportRun:
    """The part of an export that has one project and one window."""

    id: str
    project_id: str
    start_time: datetime
    end_time: datetime
    created_at: datetime
    updated_at: datetime
    status: RunStatus = "Running"
    fault: BulkFault | None = None
    finished_at: datetime | None = None
    errors: dict[str, str] | None = None
    result: dict[str, Any] | None = None

    def end(self, status: RunStatus, time: datetime) -> None:
        """Enter a last state."""
        self.status = status
        self.updated_at = self.finished_at = time

    def fields(self, export: BulkExport, behaviour: BulkExportBehaviour) -> dict[str, Any]:
        """Return the fields of the API. The window is certain only in ``metadata``."""
        return {
            "bulk_export_id": export.id,
            "session_id": self.project_id,
            "id": self.id,
            "status": self.status,
            "retry_number": max(len(self.errors or ()) - 1, 0),
            "errors": self.errors,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "finished_at": self.finished_at,
            "start_time": None if behaviour.old_bodies else self.start_time,
            "end_time": None if behaviour.old_bodies else self.end_time,
            "metadata": {
                "prefix": export.destination.prefix,
                "start_time": self.start_time,
                "end_time": self.end_time,
                "execution_backend": behaviour.backend,
                "result": self.result,
            },
        }


@dataclass(slots=True)
class BulkExport:
    """
    An export, or a schedule that makes exports.

    ``windows`` are those of the runs, which begin with the export. ``spawned`` counts the exports of a schedule.
    """

    id: str
    destination: Destination
    request: ExportRequest
    created_at: datetime
    updated_at: datetime
    status: Status
    source_id: str | None = None
    fault: BulkFault | None = None
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    runs: list[ExportRun] = field(default_factory=list)
    spawned: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it is in a last state."""
        return self.status in _ENDED

    def enter(self, status: Status, time: datetime) -> None:
        """Enter a state."""
        self.status, self.updated_at = status, time
        if self.has_ended:
            self.finished_at = time

    def fields(self, workspace_id: str) -> dict[str, Any]:
        """Return the fields of the API."""
        return {
            **asdict(self.request),
            "id": self.id,
            "tenant_id": workspace_id,
            "status": self.status,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "finished_at": self.finished_at,
            "source_bulk_export_id": self.source_id,
        }


def body_of(fields: Mapping[str, Any], behaviour: BulkExportBehaviour) -> dict[str, Any]:
    """Write fields as JSON can: times with a zone, and the status and the fields of the behaviour."""
    body: dict[str, Any] = {}
    for name, value in fields.items():
        if behaviour.old_bodies and name in _NEW_FIELDS:
            continue
        if isinstance(value, datetime):
            body[name] = value.isoformat()
        elif name == "status" and behaviour.upper_case_status:
            body[name] = value.upper()
        else:
            body[name] = body_of(value, behaviour) if name in ("metadata", "config") else value
    return body
