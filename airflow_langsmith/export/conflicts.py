"""Telling one export from another in its place: of another query, or window, where a pattern is too coarse."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_langsmith.api import RunQuery
from airflow_langsmith.api.messages import shortened
from airflow_langsmith.api.query import instant
from airflow_langsmith.export.errors import DestinationConflictError
from airflow_langsmith.export.manifest import Manifest
from airflow_langsmith.export.storage import StoragePath
from airflow_langsmith.views import View


def refuse_another(
    previous: Manifest | None, view: View, query: RunQuery, narrowed: dict[str, Any], path: StoragePath
) -> None:
    """
    Fail rather than replace an export that is not the one to be made.

    :raises DestinationConflictError: telling both.
    """
    if previous is None:
        return
    there = {
        "view": previous.view,
        "project": previous.project_id,
        "window": (previous.window_start, previous.window_end),
        "query": previous.query,
    }
    this = {"view": view.name, "project": query.project.id, "window": (query.start, query.end), "query": narrowed}
    if there == this:
        return
    others = [name for name in there if there[name] != this[name]]
    projects = [repr(previous.project), repr(query.project.name)]
    if "project" in others and previous.project == query.project.name:  # deleted and made anew
        projects = [f"{projects[0]} ({previous.project_id})", f"{projects[1]} ({query.project.id})"]
    raise DestinationConflictError(
        f"The destination holds an export of another {' and '.join(others)}. To go on would lose it. Use another "
        "destination, let partition= tell windows apart, or remove the export there.\n"
        f"There: {_described(previous.view, projects[0], there['window'], previous.query)}.\n"
        f"This export: {_described(view.name, projects[1], this['window'], narrowed)}.\n"
        f"Place: {path}"
    )


def _described(view: str, project: str, window: Any, narrowed: dict[str, Any]) -> str:
    start, end = window
    return f"{view} of {project}, [{_short(start)}, {_short(end)}), {_in_words(narrowed)}"


def _short(moment: datetime) -> str:
    """
    Write a moment, without a fraction of zero.

    >>> from datetime import UTC
    >>> _short(datetime(2026, 3, 1, tzinfo=UTC))
    '2026-03-01T00:00:00Z'
    """
    return instant(moment).replace(".000000", "")


def _in_words(narrowed: dict[str, Any]) -> str:
    """
    Write what narrows a query.

    >>> _in_words({}), _in_words({"run_type": "llm", "is_root": True})
    ('not narrowed', 'run_type=llm, is_root=True')
    """
    return shortened(", ".join(f"{name}={value}" for name, value in narrowed.items()), 300) or "not narrowed"
