"""What a test makes Bulk Export do: the part of ``LangSmithStandIn`` that is about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour, BulkFault, BulkFaultKind
from airflow_langsmith.testing.bulk.bucket import root_of
from airflow_langsmith.testing.bulk.destinations import add_destination
from airflow_langsmith.testing.bulk.exports import BulkExports
from airflow_langsmith.testing.bulk.records import body_of
from airflow_langsmith.testing.bulk.requests import read_export_request
from airflow_langsmith.testing.run_ingest import read_time
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["BulkControls"]


class BulkControls:
    """The destinations, the exports and the faults of Bulk Export."""

    _workspace: Workspace
    _bulk: BulkExports

    @property
    def bulk(self) -> BulkExportBehaviour:
        """How Bulk Export behaves: ``langsmith.bulk.running_seconds = 60``."""
        return self._bulk.behaviour

    def add_bucket(self, name: str, root: Any) -> None:
        """Add a bucket for destinations that clients create. ``root`` is a local folder or a path like a ``Path``."""
        self._bulk.buckets[name] = root_of(root)

    def add_bulk_destination(
        self,
        root: Any,
        *,
        bucket_name: str = "lake",
        prefix: str = "bulk",
        include_bucket_in_prefix: bool = True,
        display_name: str = "lake",
        **config: Any,
    ) -> str:
        """Add a bucket, and a destination in it with the ``config`` of the API. Return the destination's id."""
        config |= {"bucket_name": bucket_name, "prefix": prefix, "include_bucket_in_prefix": include_bucket_in_prefix}
        with self._bulk.changes():
            body = {"display_name": display_name, "config": config}
            return add_destination(self._bulk, self._workspace, root, body).id

    def add_bulk_export(
        self,
        *,
        project: str | None = None,
        start_time: datetime | str,
        end_time: datetime | str | None = None,
        destination_id: str,
        source_bulk_export_id: str | None = None,
        created_at: datetime | str | None = None,
        **fields: Any,
    ) -> str:
        """
        Add an export or a schedule, as another client makes it, and return its id. Plan and limits do not apply.

        :param project: Created if it does not exist; None with ``all_experiments=True``.
        :param source_bulk_export_id: The schedule that made it.
        :param created_at: When it was created, by default now.
        :param fields: Other fields of the API, such as ``format_version`` and ``interval_hours``.
        """
        with self._bulk.changes():
            body = {**fields, "bulk_export_destination_id": destination_id}
            body["session_id"] = None if project is None else self._workspace.ensure_project(project).id
            body["start_time"] = read_time(start_time).isoformat()
            body["end_time"] = None if end_time is None else read_time(end_time).isoformat()
            request = read_export_request(body, self.bulk, default_compression="zstandard")
            created = None if created_at is None else read_time(created_at)
            export = self._bulk.create(request, created_at=created, source_id=source_bulk_export_id)
            self._bulk.advance()
            return export.id

    @property
    def bulk_exports(self) -> list[dict[str, Any]]:
        """The exports and schedules as the API lists them, the oldest first."""
        with self._bulk.changes():
            return [body_of(export.fields(self._workspace.id), self.bulk) for export in self._bulk.by_age]

    def misbehave_bulk_export(
        self, kind: BulkFaultKind, *, times: int | None = 1, run: int = 0, errors: Mapping[str, str] | None = None
    ) -> None:
        """
        Let the next exports that are created do something wrong, ``times`` in a row.

        ==================  ======================================================================================
        ``stuck``           a run, and so the export, stays ``Running`` for ever
        ``fail_run``        a run fails with ``errors``: ``{"retry_0": "text", ...}``; the export is ``Failed``
        ``time_out``        a run, and so the export, is ``TimedOut``
        ``gap``             no run has the second half of the window of a run
        ``overlap``         one more run has the second half of the window of a run
        ``no_files``        a run wrote rows, and names no file
        ``lost_files``      a run names files that are not in the bucket
        ``wrong_rows``      a run says that it wrote one row more than its files have
        ``pending_upload``  a run is ``Completed`` with a ``pending_upload``
        ``retried``         a run has ``errors`` of earlier tries, and is ``Completed``
        ``cut_file``        the first file of a run has only the first half of its bytes
        ``doubled_rows``    a run has half of its rows in two files, and counts them twice
        ==================  ======================================================================================

        :param run: The number of the run, from 0; -1 is the last.
        """
        self._bulk.faults.append(BulkFault(kind, times, run, errors or {"retry_0": "Internal error"}))
