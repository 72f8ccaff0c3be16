"""The work of one run of an export: select rows, write them as files, and report."""

from __future__ import annotations

from collections.abc import Iterator
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

__all__ = ["execute"]


def execute(
    run: ExportRun, export: BulkExport, time: datetime, *, workspace: Workspace, behaviour: BulkExportBehaviour
) -> None:
    """Do the work of a run at its end, wrongly if it has a fault."""
    kind = None if run.fault is None else run.fault.kind
    if run.fault is not None and kind == "fail_run":
        run.errors = dict(run.fault.errors)
        run.end("Failed", time)
        return
    if kind == "time_out":
        run.end("TimedOut", time)
        return
    rows = list(_select(run, export, time, workspace))
    size = behaviour.max_rows_per_file
    files = [rows[place : place + size] for place in range(0, len(rows), size)]
    if rows and kind == "doubled_rows":
        files.append(rows[: len(rows) // 2 or 1])
    folder = _folder(run, export, workspace.id, behaviour)
    keys = [f"{folder}/{run.id}-{number}.parquet" for number in range(len(files))]
    try:
        for key, part in zip(keys, files, strict=True):
            if kind in ("no_files", "lost_files"):
                break
            content = _encode(part, export, workspace, behaviour)
            is_cut = kind == "cut_file" and key == keys[0]
            store(export.destination, key, content[: len(content) // 2] if is_cut else content)
    except BucketError as error:  # LangSmith does not retry it
        run.errors = {"retry_0": f"Failed to write to the destination: {error}"}
        run.end("Failed", time)
        return
    run.result = _result(run, export, folder, keys, files, kind)
    run.end("Completed", time)


def _select(run: ExportRun, export: BulkExport, time: datetime, workspace: Workspace) -> Iterator[Run]:
    """Yield the runs of LangSmith in the window that have arrived, the oldest first."""
    filters = compile_filters({"filter": export.request.filter}, workspace, Dialect.V1, FeedbackWindow())
    bounds = start_bounds(run.start_time, run.end_time, "half_open")
    for _, run_id in merge_timelines(workspace.timelines([run.project_id]), bounds, newest_first=False):
        candidate = workspace.runs[run_id]
        if candidate.received_at <= time and all(matches(candidate) for matches in filters.predicates):
            yield candidate


def _folder(run: ExportRun, export: BulkExport, workspace_id: str, behaviour: BulkExportBehaviour) -> str:
    day = run.start_time
    owner = f"export_id={export.id}/tenant_id={workspace_id}/session_id={run.project_id}"
    folder = f"{owner}/{behaviour.layout}/year={day.year}/month={day.month}/day={day.day}"
    return f"{export.destination.prefix}/{folder}".lstrip("/")


def _encode(runs: list[Run], export: BulkExport, workspace: Workspace, behaviour: BulkExportBehaviour) -> bytes:
    request = export.request
    return encode(
        runs,
        [name for name in FIELDS if name in (request.export_fields or DEFAULT_FIELDS)],
        RunValues(workspace, behaviour.backend),
        version=request.format_version,
        compression=request.compression,
        structs=behaviour.structs,
    )


def _result(
    run: ExportRun, export: BulkExport, folder: str, keys: list[str], files: list[list[Run]], kind: str | None
) -> dict[str, Any]:
    rows = sum(map(len, files)) + (kind == "wrong_rows")
    cursor = f"{files[-1][-1].start_time.isoformat()}|{files[-1][-1].id}" if files else None
    pending = {"target_cursor": cursor, "file_path": f"{folder}/{run.id}-pending.parquet", "rows_count": 1}
    return {
        "rows_written": max(rows, 1) if kind == "no_files" else rows,
        "exported_files": [] if kind == "no_files" else list(map(export.destination.name_file, keys)),
        "export_path": folder,
        "latest_cursor": cursor,
        "pending_upload": pending if kind == "pending_upload" else None,
    }
