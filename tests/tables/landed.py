"""Exports as they land, written directly: small, with any rows, and published over each other as exports are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from msgspec import Raw

from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.manifest import Manifest, ManifestColumn
from airflow_langsmith.views import view_of

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
COLUMNS = ("run_id", "project_id", "start_time", "name")


def versions(text: str, times: Iterable[datetime], project: str = "shop") -> dict[str, str]:
    """Return what a table has of these runs: by their ids, the text that they were exported with."""
    return {_run_id(project, time): text for time in times}


def minutes(start: datetime, count: int) -> list[datetime]:
    """Return the first minutes of a window, in which its runs start."""
    return [start + number * timedelta(minutes=1) for number in range(count)]


def land(
    folder: Path | str,
    text: str,
    times: Sequence[datetime],
    *,
    start: datetime = START,
    length: timedelta = HOUR,
    project: str = "shop",
    columns: Sequence[str] = COLUMNS,
    query: dict[str, Any] | None = None,
    max_rows: int = 1000,
) -> str:
    """Publish an export of runs that are named ``text``, one for each time, and return the URI of its manifest."""
    view, format_ = view_of("runs", list(columns)), format_of("parquet")
    owner = Project(id=str(uuid5(NAMESPACE_URL, project)), name=project)
    runs = [
        Run(id=_run_id(project, time), project=owner, name=text, start_time=time, tags=[], inputs=Raw(b'{"n":1}'))
        for time in times
    ]
    place = path_at(f"file://{folder}" if isinstance(folder, Path) else folder)
    with TemporaryDirectory() as directory, Publication(place) as publication:
        parts = Parts(format_, view, Path(directory), max_rows, 2**30)
        for part in (*parts.add(view.rows(runs)), *parts.finish()):
            publication.upload(part)
        publication.commit(
            Manifest(
                package_version="0.1.0",
                view="runs",
                project=owner.name,
                project_id=owner.id,
                window_start=start,
                window_end=start + length,
                query=query or {},
                api_version="v2",
                format=format_.name,
                compression=format_.compression,
                columns=tuple(ManifestColumn(name=column.name, type=column.type) for column in view.columns),
                files=tuple(publication.files),
                rows=len(runs),
                bytes=sum(file.bytes for file in publication.files),
                pending=0,
                min_start_time=min(times, default=None),
                max_start_time=max(times, default=None),
            )
        )
    return str(place)


def _run_id(project: str, time: datetime) -> str:
    return str(uuid5(NAMESPACE_URL, f"{project} {time}"))
