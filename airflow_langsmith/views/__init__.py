"""From runs to rows: one module a view, and the column contract. Pure; reads the records of ``api``."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.views import runs
from airflow_langsmith.views.columns import Column, ColumnType, Rows, View, chosen

VIEWS: dict[str, tuple[Column, ...]] = {"runs": runs.COLUMNS}


def view_of(name: str, columns: Iterable[str] | None = None) -> View:
    """
    Find a view, with its default columns or the named ones.

    :raises ConfigurationError: for a view or a column that does not exist.
    """
    if name not in VIEWS:
        raise ConfigurationError(f"There is no view {name!r}; there is {', '.join(VIEWS)}.")
    return chosen(name, VIEWS[name], columns)


__all__ = ["VIEWS", "Column", "ColumnType", "Rows", "View", "view_of"]
