"""Telling one export from another in its place: of another query, or window, where a pattern is too coarse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from airflow_langsmith.errors import DestinationConflictError
from airflow_langsmith.export.storage import StoragePath
from airflow_langsmith.filters import format_time
from airflow_langsmith.manifest import Manifest
from airflow_langsmith.messages import shorten


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which export it is; a re-run has the same, and may replace it. The project's name is only for messages."""

    view: str
    project: str
    project_id: str
    window: tuple[datetime, datetime]
    query: dict[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Read it from a manifest."""
        return cls(
            view=manifest.view,
            project=manifest.project,
            project_id=manifest.project_id,
            window=(manifest.window_start, manifest.window_end),
            query=manifest.query,
        )


def refuse_another(previous: Manifest | None, this: Identity, path: StoragePath) -> None:
    """
    Fail rather than replace an export that is not the one to be made.

    :raises DestinationConflictError: telling both.
    """
    if previous is None:
        return
    there = Identity.of(previous)
    others = [
        name
        for name, key in (("view", "view"), ("project", "project_id"), ("window", "window"), ("query", "query"))
        if getattr(there, key) != getattr(this, key)
    ]
    if not others:
        return
    projects = [repr(there.project), repr(this.project)]
    if "project" in others and there.project == this.project:  # deleted and made anew
        projects = [f"{projects[0]} ({there.project_id})", f"{projects[1]} ({this.project_id})"]
    raise DestinationConflictError(
        f"The destination holds an export of another {' and '.join(others)}. To go on would lose it. Use another "
        "destination, let partition= tell windows apart, or remove the export there.\n"
        f"There: {_described(there, projects[0])}.\n"
        f"This export: {_described(this, projects[1])}.\n"
        f"Place: {path}"
    )


def _described(export: Identity, project: str) -> str:
    start, end = export.window
    return f"{export.view} of {project}, [{_short(start)}, {_short(end)}), {_in_words(export.query)}"


def _short(moment: datetime) -> str:
    """
    Write a moment, without a fraction of zero.

    >>> from datetime import UTC
    >>> _short(datetime(2026, 3, 1, tzinfo=UTC))
    '2026-03-01T00:00:00Z'
    """
    return format_time(moment).replace(".000000", "")


def _in_words(narrowed: dict[str, Any]) -> str:
    """
    Write what narrows a query.

    >>> _in_words({}), _in_words({"run_type": "llm", "is_root": True})
    ('not narrowed', 'run_type=llm, is_root=True')
    """
    return shorten(", ".join(f"{name}={value}" for name, value in narrowed.items()), 300) or "not narrowed"
