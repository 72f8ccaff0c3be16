"""
The kinds of rows: one file for each view, with its columns, its options and how its rows are read, without I/O.

A new view is one new file, and its ``VIEW`` in the list below.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import suggest
from airflow_langsmith.views import feedback, retrievals, runs, threads, traces
from airflow_langsmith.views.columns import Column, ColumnType, Rows
from airflow_langsmith.views.view import Option, View

VIEWS: dict[str, View] = {
    view.name: view for view in (runs.VIEW, traces.VIEW, retrievals.VIEW, feedback.VIEW, threads.VIEW)
}


def options() -> dict[str, Option]:
    """Return the options of all views by their names."""
    return {option.name: option for view in VIEWS.values() for option in view.options}


def option_defaults() -> dict[str, Any]:
    """Return the default of each option."""
    return {option.name: getattr(view, option.name) for view in VIEWS.values() for option in view.options}


def view_of(
    name: str, columns: Iterable[str] | None = None, *, missing_payloads: bool = False, **arguments: Any
) -> View:
    """
    Return a view with its default columns or the named ones, and with its options as users write them.

    :param missing_payloads: Add the column that says which payloads could not be read, if the view has payloads.
    :raises ConfigurationError: for a view or a column that does not exist, and for an option of another view.
    """
    view = VIEWS.get(str(name))
    if view is None:
        raise ConfigurationError(f"There is no view {name!r}. {suggest(name, VIEWS)}")
    known, values = options(), {}
    for argument, written in arguments.items():
        option = known[argument]
        value = option.read(written, argument)
        if option in view.options:
            values[argument] = value
        elif option.is_refused(value):
            raise ConfigurationError(option.refusal.format(view=view.name))
    return view.choose(columns, missing_payloads=missing_payloads, **values)


__all__ = ["VIEWS", "Column", "ColumnType", "Option", "Rows", "View", "option_defaults", "options", "view_of"]
