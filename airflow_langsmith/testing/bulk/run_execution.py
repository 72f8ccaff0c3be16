"""The work of one run of an export: select rows, write them as files, and report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour
from airflow_langsmith.testing.bulk.bucket import BucketError, store
from airflow_langsmith.testing.bulk.columns import DEFAULT_FIELDS, FIELDS, RunValues
from airflow_langsmith.testing.bulk.parquet import encode
from airflow_langsmith.testing.bulk.records import BulkExport, ExportRun
from airflow_langsmith.testing.conditions import FeedbackWindow, compile_filters, start_bounds
from airflow_langsmith.testing.filters import Dialect
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.timeline import merge_timelines
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["RunExecution"]


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    rows: list[Run]


class RunExecution:
    """A run of an export at the time of its end. ``run.fault`` says what goes wrong."""

    def __init__(
        self, run: ExportRun, export: BulkExport, time: datetime, workspace: Workspace, behaviour: BulkExportBehaviour
    ) -> None:
        self._run = run
        self._export = export
        self._time = time
        self._workspace = workspace
        self._behaviour = behaviour
        self._fault = None if run.fault is None else run.fault.kind
        self._folder = self._path_of_folder()

    def finish(self) -> None:
        """Write the files, and end the run as its fault says. A run that fails leaves its files, and has no result."""
        run, files = self._run, self._files()
        if run.fault is not None and self._fault in ("fail_run", "retried"):
            run.errors = dict(run.fault.errors)
        try:
            self._write(files)
        except BucketError as error:  # LangSmith does not retry it
            run.errors = {"retry_0": f"Failed to write to the destination: {error}"}
            run.end("Failed", self._time)
            return
        if self._fault in ("fail_run", "time_out"):
            run.end("Failed" if self._fault == "fail_run" else "TimedOut", self._time)
            return
        run.result = self._result(files)
        run.end("Completed", self._time)

    def interrupt(self) -> None:
        """End the run before its last file is written."""
        with suppress(BucketError):
            self._write(self._files()[:-1])
        self._run.end("Cancelled", self._time)

    def _path_of_folder(self) -> str:
        day = self._run.start_time
        owner = f"export_id={self._export.id}/tenant_id={self._workspace.id}/session_id={self._run.project_id}"
        folder = f"{owner}/{self._behaviour.layout}/year={day.year}/month={day.month}/day={day.day}"
        return f"{self._export.destination.prefix}/{folder}".lstrip("/")

    def _rows(self) -> Iterator[Run]:
        """Yield the runs of LangSmith in the window that have arrived, the oldest first."""
        filters = compile_filters(
            {"filter": self._export.request.filter}, self._workspace, Dialect.V1, FeedbackWindow()
        )
        bounds = start_bounds(self._run.start_time, self._run.end_time, "half_open")
        timelines = self._workspace.timelines([self._run.project_id])
        for _, run_id in merge_timelines(timelines, bounds, newest_first=False):
            run = self._workspace.runs[run_id]
            if run.received_at <= self._time and all(matches(run) for matches in filters.predicates):
                yield run

    def _files(self) -> list[_File]:
        rows, size = list(self._rows()), self._behaviour.max_rows_per_file
        parts = [rows[place : place + size] for place in range(0, len(rows), size)]
        if rows and self._fault == "doubled_rows":
            parts.append(rows[: len(rows) // 2 or 1])
        return [_File(f"{self._folder}/{self._run.id}-{number}.parquet", part) for number, part in enumerate(parts)]

    def _write(self, files: list[_File]) -> None:
        if self._fault in ("no_files", "lost_files"):
            return
        for file in files:
            content = self._encode(file.rows)
            is_cut = self._fault == "cut_file" and file is files[0]
            store(self._export.destination, file.key, content[: len(content) // 2] if is_cut else content)

    def _encode(self, rows: list[Run]) -> bytes:
        request = self._export.request
        return encode(
            rows,
            [name for name in FIELDS if name in (request.export_fields or DEFAULT_FIELDS)],
            RunValues(self._workspace, self._behaviour.backend),
            version=request.format_version,
            compression=request.compression,
            structs=self._behaviour.structs,
        )

    def _result(self, files: list[_File]) -> dict[str, Any]:
        rows = sum(len(file.rows) for file in files) + (self._fault == "wrong_rows")
        last = files[-1].rows[-1] if files else None
        cursor = None if last is None else f"{last.start_time.isoformat()}|{last.id}"
        pending = {
            "target_cursor": cursor,
            "file_path": f"{self._folder}/{self._run.id}-pending.parquet",
            "rows_count": 1,
        }
        names = [self._export.destination.name_file(file.key) for file in files]
        return {
            "rows_written": max(rows, 1) if self._fault == "no_files" else rows,
            "exported_files": [] if self._fault == "no_files" else names,
            "export_path": self._folder,
            "latest_cursor": cursor,
            "pending_upload": pending if self._fault == "pending_upload" else None,
        }
