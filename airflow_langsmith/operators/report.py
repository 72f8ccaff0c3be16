"""Lines of the task's log: progress, and the result of an export. Airflow shows 90 characters of a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from airflow_langsmith.api.query import ALL_TIME
from airflow_langsmith.export.export import Exported
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.manifest import Manifest
from airflow_langsmith.messages import MAX_LINE, shorten
from airflow_langsmith.tables.table import Change, Loaded
from airflow_langsmith.windows import TimeWindow

PROGRESS_INTERVAL_SECONDS = 10.0
MAX_EMPTY_COLUMNS = 10  # that the log names
_MIN_NAME_CHARACTERS = 12  # of a project's name, however long its line is


class ProgressReporter:
    """Logs the progress every ten seconds."""

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._began = self._logged = clock()

    def __call__(self, progress: Progress) -> None:
        """Log the progress after a page, if a line is due."""
        now = self._clock()
        if now - self._logged < PROGRESS_INTERVAL_SECONDS:
            return
        self._logged = now
        self._log.info(
            "%s runs in %s pages, %.0f a second; %.0f %% of the window is done",
            f"{progress.runs:,}",
            progress.pages,
            progress.runs / (now - self._began),
            100 * progress.share,
        )


def closing_lines(exported: Exported) -> Iterator[str]:
    """
    Yield what landed, its cost, where it is, and what it replaced.

    ::

        Exported 267 rows (3 pending) of shop-assistant, 2026-03-01 to 2026-03-02 UTC
        1 part, 20.9 KB; 4 requests, 1.2 s, 0.3 s of it waiting
        Manifest: s3://lake@traces/langsmith/runs/project=shop-assistant/date=2026-03-01/_manifest.json
        Replaced the export of 2026-03-02 09:36 UTC: 260 -> 267 rows, 1 part changed
    """
    manifest = exported.manifest
    rows = f"Exported {number(manifest.rows, 'row')} ({manifest.pending:,} pending) of "
    window = f", {period(TimeWindow(manifest.window_start, manifest.window_end))}"
    room = max(MAX_LINE - len(rows) - len(window), _MIN_NAME_CHARACTERS)
    yield f"{rows}{shorten(manifest.project, room)}{window}"
    waited = f", {exported.waited_seconds:.1f} s of it waiting" if exported.waited_seconds >= 0.05 else ""  # noqa: PLR2004
    yield (
        f"{number(len(manifest.files), 'part')}, {size(manifest.bytes)}; "
        f"{number(exported.requests, 'request')}, {exported.seconds:.1f} s{waited}"
    )
    yield f"Manifest: {exported.uri}"
    if manifest.attachments:
        total = size(sum(file.bytes for file in manifest.attachments))
        yield f"Downloaded {number(len(manifest.attachments), 'attachment')}, {total}, beside the parts"
    if exported.previous is not None:
        yield _replaced(manifest, exported.previous, exported.previous_at)


def load_lines(change: Change, loaded: Loaded, uri: str) -> Iterator[str]:
    """
    Yield what a load did.

    ::

        Loaded 267 rows of shop-assistant, 2026-03-01 to 2026-03-02 UTC: 260 deleted (replace)
        Table: iceberg://lake/langsmith.runs, version 4358109269831763232
    """
    first, last = change.exports[0].manifest, change.exports[-1].manifest
    window = period(TimeWindow(first.window_start, last.window_end))
    what = (
        shorten(first.project, _MIN_NAME_CHARACTERS * 2)
        if len(change.exports) == 1
        else f"{len(change.exports)} exports"
    )
    if not loaded.is_changed:
        yield f"The table is up to date: nothing to load of {what}, {window}"
    else:
        rows = f"Loaded {number(loaded.rows_added, 'row')} of {what}, {window}"
        yield f"{rows}: {loaded.rows_deleted:,} {'deleted' if change.mode == 'replace' else 'updated'} ({change.mode})"
    yield f"Table: {uri}{f', version {loaded.version}' if loaded.version else ''}"


def warning_lines(exported: Exported) -> Iterator[str]:
    """Yield what in the rows may be a mistake of the user."""
    manifest, progress = exported.manifest, exported.progress
    if manifest.misfits:
        yield f"{manifest.misfits:,} values did not fit the type of their path; the column flatten_misfits keeps them"
    if progress.missing:
        yield f"{progress.missing:,} payloads could not be fetched; the column missing_payloads names them"
        for id_ in progress.missing_from:
            yield f"A payload is missing from {manifest.view} {id_}"
    yield from _empty_lines(exported)


def _empty_lines(exported: Exported) -> Iterator[str]:
    """Name flat columns that are all null, and redacted paths that no row has."""
    rows = f"{exported.manifest.rows:,}"
    for name, hint in islice(exported.empty_columns.items(), MAX_EMPTY_COLUMNS):
        yield f"{name} is null in all {rows} rows\n  {hint}"
    if (more := len(exported.empty_columns) - MAX_EMPTY_COLUMNS) > 0:
        yield f"{more} more flat columns are null in all rows: see nulls in the manifest"
    for path in exported.unmet_paths:
        yield f"redact: no row of {rows} has {path}"


def _replaced(manifest: Manifest, previous: Manifest, at: datetime | None) -> str:
    parts, previous_parts = ({file.name for file in export.files} for export in (manifest, previous))
    changed = max(len(parts - previous_parts), len(previous_parts - parts))
    of = f"the export of {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else "an earlier export"
    return f"Replaced {of}: {previous.rows:,} -> {number(manifest.rows, 'row')}, {number(changed, 'part')} changed"


def number(count: int, noun: str) -> str:
    """
    Return a number of things.

    >>> number(1, "part"), number(12_000, "row")
    ('1 part', '12,000 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """
    Return a number of bytes for people.

    >>> size(20_938)
    '20.9 KB'
    """
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def period(window: TimeWindow) -> str:
    """
    Return a window, without the parts that are zero.

    >>> day = datetime(2026, 3, 1, tzinfo=UTC)
    >>> period(TimeWindow(day, day.replace(day=2))), period(TimeWindow(day, day.replace(hour=9, minute=30)))
    ('2026-03-01 to 2026-03-02 UTC', '2026-03-01 00:00 to 09:30 UTC')
    """
    if window == ALL_TIME:
        return "all time"
    days = [f"{moment:%Y-%m-%d}" for moment in (window.start, window.end)]
    times = [_time(moment) for moment in (window.start, window.end)]
    if times == ["00:00", "00:00"]:
        return f"{days[0]} to {days[1]} UTC"
    return f"{days[0]} {times[0]} to {f'{days[1]} ' * (days[0] != days[1])}{times[1]} UTC"


def _time(moment: datetime) -> str:
    return f"{moment.time()}" if moment.second or moment.microsecond else f"{moment:%H:%M}"
