"""The state machine of exports, which the stand-in's clock drives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour, BulkFault
from airflow_langsmith.testing.bulk.partitions import partitions
from airflow_langsmith.testing.bulk.records import BulkExport, Destination, ExportRequest, ExportRun, RunStatus
from airflow_langsmith.testing.bulk.run_execution import RunExecution
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["BulkExports"]

_SPAWN_DELAY = timedelta(minutes=10)  # from the end of a scheduled window to its export

_Window = tuple[datetime, datetime]
_Event = tuple[datetime, Callable[[datetime], object]]


class BulkExports:
    """
    The destinations, schedules and exports of a workspace.

    ``advance`` does what happened since the last call, in the order of the clock. It comes before each request and
    each change of data, so that an export reads the data as they are when it runs.
    """

    def __init__(self, workspace: Workspace, behaviour: BulkExportBehaviour) -> None:
        self.behaviour = behaviour
        self.buckets: dict[str, Any] = {}  # name -> path of the root
        self.destinations: dict[str, Destination] = {}
        self.exports: dict[str, BulkExport] = {}
        self.faults: list[BulkFault] = []
        self._workspace = workspace
        self._active: dict[str, BulkExport] = {}  # that have not ended
        self._last_end: datetime | None = None

    def create(
        self, request: ExportRequest, *, created_at: datetime | None = None, source_id: str | None = None
    ) -> BulkExport:
        """Add an export, or a schedule if the request has an interval."""
        time = created_at or self._workspace.now()
        destination = self.destinations[request.bulk_export_destination_id]
        export = BulkExport(self._workspace.new_id(), destination, request, time, time, "Created", source_id)
        if request.end_time is None:
            export.status = "IntervalScheduled"
        else:
            windows = partitions(request.start_time, request.end_time, self.behaviour.partition)
            export.fault = self._next_fault()
            export.windows = _with_fault(list(windows), export.fault)
        self.exports[export.id] = self._active[export.id] = export
        return export

    def cancel(self, export: BulkExport) -> None:
        """End an export or a schedule. Files that are written stay, also those of the run that is being written."""
        time = self._workspace.now()
        unfinished = [run for run in export.runs if run.finished_at is None]
        for run in unfinished[:1]:
            RunExecution(run, export, time, self._workspace, self.behaviour).interrupt()
        for run in unfinished[1:]:
            run.end("Cancelled", time)
        self._end(export, "Cancelled", time)

    def created_since(self, time: datetime) -> int:
        """Count the exports and schedules that were created after a time."""
        return sum(export.created_at > time for export in self.exports.values())

    @property
    def by_age(self) -> list[BulkExport]:
        """All exports and schedules, the oldest first."""
        return sorted(self.exports.values(), key=lambda export: export.created_at)

    @property
    def active_schedules(self) -> int:
        """How many schedules are active."""
        return sum(export.status == "IntervalScheduled" for export in self._active.values())

    @contextmanager
    def changes(self) -> Iterator[None]:
        """Lock the data for changes, after the exports that ran before now have read them."""
        with self._workspace.lock:
            self.advance()
            yield

    def advance(self) -> None:
        """Do what happened up to now, in order."""
        while self._active:
            time, action = min(self._events(), key=lambda event: event[0], default=(None, None))
            if time is None or action is None or time > self._workspace.now():
                return
            action(time)

    def _events(self) -> Iterator[_Event]:
        """Yield the next event of each export and schedule."""
        running = sum(export.status == "Running" for export in self._active.values())
        for export in self._active.values():
            match export.status:
                case "IntervalScheduled":
                    _, end = self._next_window(export)
                    yield max(end + _SPAWN_DELAY, export.created_at), partial(self._spawn, export)
                case "Created" if running < self.behaviour.max_running:
                    time = export.created_at + timedelta(seconds=self.behaviour.queued_seconds)
                    yield max(time, self._last_end or time), partial(self._start, export)
                case "Running":
                    yield from self._end_of_next_run(export)

    def _end_of_next_run(self, export: BulkExport) -> Iterator[_Event]:
        started, length = export.started_at or export.created_at, timedelta(seconds=self.behaviour.running_seconds)
        number = next((number for number, run in enumerate(export.runs) if run.finished_at is None), None)
        if number is None:  # no project has a run
            yield started + length, partial(self._end, export, "Completed")
            return
        run = export.runs[number]
        if run.fault is None or run.fault.kind != "stuck":
            yield started + length * (number + 1) / len(export.runs), partial(self._run, export, run)

    def _next_window(self, schedule: BulkExport) -> _Window:
        interval = timedelta(hours=schedule.request.interval_hours or 0)
        start = schedule.request.start_time + schedule.spawned * interval
        return start, start + interval

    def _spawn(self, schedule: BulkExport, time: datetime) -> None:
        start, end = self._next_window(schedule)
        schedule.spawned += 1
        request = replace(schedule.request, start_time=start, end_time=end, interval_hours=None)
        self.create(request, created_at=time, source_id=schedule.id)

    def _start(self, export: BulkExport, time: datetime) -> None:
        export.started_at = time
        export.runs = [
            ExportRun(self._workspace.new_id(), project_id, start, end, time, time)
            for project_id in self._projects_of(export.request)
            for start, end in export.windows
        ]
        if export.fault is not None and export.runs:
            export.runs[export.fault.run].fault = export.fault
        export.enter("Running", time)

    def _projects_of(self, request: ExportRequest) -> list[str]:
        if request.session_id is not None:
            return [request.session_id]
        return [project.id for project in self._workspace.projects.values() if project.reference_dataset_id is not None]

    def _run(self, export: BulkExport, run: ExportRun, time: datetime) -> None:
        RunExecution(run, export, time, self._workspace, self.behaviour).finish()
        export.updated_at = time
        if all(run.finished_at is not None for run in export.runs):
            statuses = [run.status for run in export.runs]
            self._end(export, next((status for status in statuses if status != "Completed"), "Completed"), time)

    def _end(self, export: BulkExport, status: RunStatus, time: datetime) -> None:
        export.enter(status, time)
        self._active.pop(export.id, None)
        self._last_end = time

    def _next_fault(self) -> BulkFault | None:
        if not self.faults:
            return None
        fault = self.faults[0]
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                del self.faults[0]
        return fault


def _with_fault(windows: list[_Window], fault: BulkFault | None) -> list[_Window]:
    """Make a gap or an overlap, if that is the fault."""
    if fault is None:
        return windows
    try:
        start, end = windows[fault.run]
    except IndexError:
        raise ValueError(f"{fault.kind!r} is for run {fault.run}, and the export has {len(windows)}") from None
    middle, number = start + (end - start) / 2, windows.index((start, end))
    if fault.kind == "gap":
        windows[number] = start, middle
    elif fault.kind == "overlap":
        windows.insert(number + 1, (middle, end))
    return windows
