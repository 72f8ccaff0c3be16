"""Waiting for a bulk export: until it has written its whole window, or has failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self

from airflow_langsmith.api.bulk_exports import list_bulk_exports, list_runs_of, read_bulk_export
from airflow_langsmith.api.bulk_output import BulkOutput
from airflow_langsmith.api.bulk_records import BulkDestination, BulkExport
from airflow_langsmith.api.bulk_verification import failure_of, verified_output
from airflow_langsmith.api.flow import Backoff, Flow, read_all
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.ui_urls import project_url
from airflow_langsmith.errors import BulkExportError
from airflow_langsmith.waiting.verdict import Outcome
from airflow_langsmith.waiting.watch import Watch
from airflow_langsmith.windows import TimeWindow

_ANY_DESTINATION = BulkDestination(id="")  # files are counted, and not looked for


@dataclass(frozen=True, kw_only=True)
class BulkSelection:
    """
    One bulk export, or the exports that a schedule makes of a window.

    ::

        BulkSelection(export_id="42345678-...")
        BulkSelection(schedule_id="82345678-...", window=TimeWindow(start, end))
    """

    export_id: str | None = None
    schedule_id: str | None = None
    window: TimeWindow | None = None

    def serialize(self) -> dict[str, Any]:
        """Return it as JSON."""
        ids = {"export_id": self.export_id, "schedule_id": self.schedule_id}
        bounds = {"start": self.window.start.isoformat(), "end": self.window.end.isoformat()} if self.window else {}
        return {name: id_ for name, id_ in ids.items() if id_ is not None} | bounds

    @classmethod
    def deserialize(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`serialize` wrote."""
        bounds = [datetime.fromisoformat(state[name]) for name in ("start", "end") if name in state]
        window = TimeWindow(bounds[0], bounds[1]) if bounds else None
        return cls(export_id=state.get("export_id"), schedule_id=state.get("schedule_id"), window=window)

    def __str__(self) -> str:
        return f"bulk export {self.export_id}" if self.export_id else f"schedule {self.schedule_id}, {self.window}"


@dataclass(kw_only=True, eq=False)
class BulkExportWatch(Watch):
    """
    Waits until a bulk export, or each that a schedule made of a window, has written its whole window.

    A look takes a request for the export, or for each page of the workspace's exports. The last one takes another for
    the runs of each export.
    """

    selection_type: ClassVar = BulkSelection

    selection: BulkSelection
    _exports: list[BulkExport] = field(default_factory=list, init=False)
    _schedule: BulkExport | None = field(default=None, init=False)

    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """Read the exports, and their runs once they have ended."""
        backoff = negotiator.backoff
        self._exports = yield from self._read_exports(backoff)
        if missing := self._missing():
            return self._missing_outcome(missing)
        for export in self._exports:
            if export.is_schedule:
                return Outcome("failed", f"failed: {export.id} is a schedule. Wait for the exports that it makes.")
            if export.has_ended and not export.is_completed:
                runs = yield from read_all(list_runs_of(export.id, backoff))
                return Outcome("failed", f"failed: {failure_of(export, runs).message}")
        active = [export for export in self._exports if not export.has_ended]
        if active:
            states = ", ".join(f"bulk export {export.id} is {export.status}" for export in active)
            return Outcome("waiting", f"waiting: {states}")
        outputs: list[BulkOutput] = []
        for export in self._exports:
            runs = yield from read_all(list_runs_of(export.id, backoff))
            try:
                outputs.append(verified_output(export, runs, _ANY_DESTINATION))
            except BulkExportError as error:
                return Outcome("failed", f"failed: {error.message}")
        figures = {
            "bulk_export_ids": [output.export_id for output in outputs],
            "rows": sum(output.rows for output in outputs),
            "files": sum(len(output.files) for output in outputs),
        }
        return Outcome("met", f"met: {self.selection} wrote {figures['rows']:,} rows", figures)

    def result(self, outcome: Outcome, settings: Settings) -> dict[str, Any]:
        """Return the ids, the rows and the number of files, the window and a link to its runs, for XCom."""
        bounds = [export.bounds for export in self._exports if export.bounds]
        if not bounds:
            return {**outcome.figures, "window_start": None, "window_end": None, "url": ""}
        window = TimeWindow(min(start for start, _ in bounds), max(end for _, end in bounds))
        export = self._exports[0]
        project = Project(id=export.session_id or "", name="", tenant_id=export.tenant_id)
        return {
            **outcome.figures,
            "window_start": window.start.isoformat(),
            "window_end": window.end.isoformat(),
            "url": project_url(settings, project, RunQuery(project=project, window=window)) if project.id else "",
        }

    def _read_exports(self, backoff: Backoff) -> Flow[list[BulkExport]]:
        """Return the exports in the order of their windows; of two of one window, the newer."""
        selection, window = self.selection, self.selection.window
        if selection.export_id is not None or window is None:
            return [(yield from read_bulk_export(selection.export_id or "", backoff))]
        exports = yield from read_all(list_bulk_exports(backoff))
        self._schedule = next((export for export in exports if export.id == selection.schedule_id), None)
        by_window = {
            export.bounds: export
            for export in sorted(exports, key=lambda each: each.created)
            if export.source_bulk_export_id == selection.schedule_id
            and export.bounds
            and export.bounds[0] < window.end
            and export.bounds[1] > window.start
        }
        return [by_window[bounds] for bounds in sorted(by_window)]

    def _missing(self) -> datetime | None:
        """Return from when on the window of a schedule is not covered yet."""
        window = self.selection.window
        if window is None:
            return None
        covered = window.start
        for export in self._exports:
            start, end = export.bounds or (covered, covered)
            if start > covered:
                return covered
            covered = max(covered, end)
        return covered if covered < window.end else None

    def _missing_outcome(self, missing: datetime) -> Outcome:
        """Say from when on the window is not covered, and why it may never be."""
        gap, schedule = f"{self.selection} has no export from {missing.isoformat()} on", self._schedule
        if schedule is not None and schedule.has_ended:
            return Outcome("failed", f"failed: {gap}, and makes no more: it is {schedule.status}")
        hint = " yet" if schedule is not None else ": LangSmith lists no such schedule in this workspace"
        return Outcome("waiting", f"waiting: {gap}{hint}")
