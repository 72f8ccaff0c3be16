"""Whether a bulk export wrote its whole window. Its status alone does not say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_langsmith.api.bulk_output import BulkOutput, BulkPart
from airflow_langsmith.api.bulk_records import BulkDestination, BulkExport, BulkExportResult, BulkExportRun, utc
from airflow_langsmith.errors import BulkExportError
from airflow_langsmith.windows import TimeWindow

_MAX_RUNS = 3  # that an error names


def verified_output(
    export: BulkExport, runs: Sequence[BulkExportRun], destination: BulkDestination, *, files_are_counted: bool = False
) -> BulkOutput:
    """
    Return what a completed bulk export wrote, by what LangSmith says of its runs.

    Each run has completed, with a result and files if it has rows, and the windows of the runs tile the window of the
    export, with neither gap nor overlap::

        [2026-03-01 00:00, 2026-03-02 00:00)   7 rows   lake/bulk/export_id=.../day=1/runs.parquet
        [2026-03-02 00:00, 2026-03-03 00:00)   0 rows

    :param files_are_counted: Whether the rows in the files are counted later. If not, a run with an unfinished upload
        is refused, because nothing else shows whether its files are whole.
    :raises BulkExportError: naming the run that is not as it has to be.
    """
    if incomplete := [run for run in runs if not run.is_completed or run.metadata.result is None]:
        raise _refused(export, f"{_named(incomplete)} did not complete: {incomplete[0].last_error}")
    parts = []
    for run in sorted(runs, key=lambda run: (utc(run.metadata.start_time), utc(run.metadata.end_time))):
        result = run.metadata.result or BulkExportResult(rows_written=0, exported_files=[])
        if result.rows_written and not result.exported_files:
            raise _refused(export, f"{_named([run])} wrote {result.rows_written:,} rows, but names no file")
        if result.pending_upload is not None and not files_are_counted:
            raise _refused(export, f"{_named([run])} completed, but one of its uploads did not")
        start, end = _bounds(run)
        if start >= end:
            raise _refused(export, f"{_named([run])} has no window")
        files = tuple(map(destination.key_of, result.exported_files))
        backend, window = run.metadata.execution_backend, TimeWindow(start, end)
        parts.append(BulkPart(run_id=run.id, window=window, rows=result.rows_written, files=files, backend=backend))
    _check_tiles(export, parts)
    return BulkOutput(export_id=export.id, format_version=_format_version(export), parts=tuple(parts))


def failure_of(export: BulkExport, runs: Sequence[BulkExportRun]) -> BulkExportError:
    """Return the error of a bulk export that ended without completing, with the words of its runs."""
    failed = [run for run in runs if run.errors or run.state in ("failed", "timedout")]
    if export.state == "cancelled":
        return BulkExportError(f"Bulk export {export.id} was cancelled in LangSmith.")
    reason = f" Its {_named(failed)} says: {failed[0].last_error.rstrip('. ')}." if failed else ""
    return BulkExportError(
        f"Bulk export {export.id} ended as {export.status}.{reason} LangSmith does not retry what the bucket "
        "refuses: check the bucket's policy (s3:PutObject) and the destination's credentials."
    )


def _check_tiles(export: BulkExport, parts: Sequence[BulkPart]) -> None:
    if export.bounds is None:
        raise _refused(export, "it has no window: it is a schedule of exports")
    start, end = export.bounds
    reached = start
    for part in parts:
        if part.window.start != reached:
            problem = "leaves a gap" if part.window.start > reached else "overlaps another run"
            raise _refused(export, f"run {part.run_id} of {part.window} {problem}: it has to start at {_text(reached)}")
        reached = part.window.end
    if reached != end:
        raise _refused(export, f"its runs end at {_text(reached)}, and not at {_text(end)}")


def _refused(export: BulkExport, problem: str) -> BulkExportError:
    return BulkExportError(
        f"Bulk export {export.id} is {export.status}, but not whole: {problem.rstrip('. ')}. If another one "
        "is the same, export the window through the API, and tell LangSmith."
    )


def _named(runs: Sequence[BulkExportRun]) -> str:
    named = [f"run {run.id} of [{', '.join(map(_text, _bounds(run)))})" for run in runs[:_MAX_RUNS]]
    more = f" (and {len(runs) - _MAX_RUNS} more)" if len(runs) > _MAX_RUNS else ""
    return f"{', '.join(named)}{more}"


def _bounds(run: BulkExportRun) -> tuple[datetime, datetime]:
    return utc(run.metadata.start_time), utc(run.metadata.end_time)


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")


def _format_version(export: BulkExport) -> str:
    return export.format_version if isinstance(export.format_version, str) else "v1"
