"""From runs to rows: one module a view, and the column contract. Pure; reads the records of ``api``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import suggest
from airflow_langsmith.views import feedback, retrievals, runs, threads, traces
from airflow_langsmith.views.columns import Below, Column, ColumnType, Record, Rows, View, chosen

VIEWS: dict[str, View] = {
    view.name: view for view in (runs.VIEW, traces.VIEW, retrievals.VIEW, feedback.VIEW, threads.VIEW)
}


_INSTEAD = "Leave it out, and narrow the query by a filter."


def view_of(
    name: str,
    columns: Iterable[str] | None = None,
    *,
    only_with_tools: bool = False,
    with_feedback: bool | str = True,
    marks: bool = False,
) -> View:
    """
    Find a view, with its default columns or the named ones.

    :param only_with_tools: Leave out the traces that called no tool; for the view ``traces``.
    :param with_feedback: Leave out the traces whose root has no feedback, or none under this key; for ``retrievals``.
    :param marks: Add the column that tells which payloads could not be had, if the view has payloads.
    :raises ConfigurationError: for a view or a column that does not exist, and for what is about another view.
    """
    view = next((view for view in VIEWS.values() if view.name == name), None)
    if view is None:
        raise ConfigurationError(f"There is no view {name!r}. {suggest(name, VIEWS)}")
    if only_with_tools and name != "traces":
        raise ConfigurationError(f"only_with_tools is about the view traces, not {name}. {_INSTEAD}")
    if isinstance(with_feedback, str) and name != "retrievals":
        raise ConfigurationError(f"with_feedback names a key for the view retrievals, not {name}. {_INSTEAD}")
    if marks and view.marks:
        columns = list(columns) if columns is not None else [column.name for column in view.columns if column.default]
        columns += [] if view.marks.name in columns else [view.marks.name]
        view = replace(view, columns=(*view.columns, view.marks))
    view = chosen(view, columns)
    if view.name == "traces":
        return replace(view, ask=lambda query: traces.asked(query, only_with_tools=only_with_tools))
    if view.name == "retrievals":
        return replace(view, ask=lambda query: retrievals.asked(query, with_feedback=with_feedback))
    return view


__all__ = ["VIEWS", "Below", "Column", "ColumnType", "Record", "Rows", "View", "view_of"]
