"""
What a load asks of a table: its state, and one change of it in one transaction.

::

    with table.session(directory) as session:
        session.open(change)                the table's columns, and what earlier loads left: view, query, digest
        session.apply(change)               deletes and adds rows: all of it, or nothing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from airflow_langsmith.manifest import ManifestColumn
from airflow_langsmith.tables.parts import LandedExport, Part
from airflow_langsmith.views import View

Mode = Literal["replace", "merge"]
PROJECT = "project_id"  # the column of the project in every view


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """
    What loads leave at a table.

    ``query`` narrows the exports whose windows were replaced; None before the first replace. ``digest`` is of the last
    load, ``manifest`` its URI, for people. ``rows`` are those in reach of that load when it was done.
    """

    view: str
    query: dict[str, Any] | None = None
    digest: str = ""
    rows: int = 0
    manifest: str = ""

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()

    @property
    def of_table(self) -> str:
        """What is true of the table, whatever was loaded last, as text."""
        return str(Mark(view=self.view, query=self.query))


def read_mark(text: str | None) -> Mark | None:
    """Return a mark that was written as text; None for any other text."""
    try:
        return msgspec.json.decode(text, type=Mark) if text else None
    except msgspec.DecodeError:
        return None


def literal(text: str) -> str:
    """
    Return a text as SQL.

    >>> literal("it's")
    "'it''s'"
    """
    return "'{}'".format(text.replace("'", "''"))


@dataclass(frozen=True, kw_only=True)
class ProjectWindow:
    """The rows of one project in ``[start, end)``."""

    project_id: str
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class TableState:
    """The columns of a table, each with its type in the table's own words; and the mark of earlier loads, if any."""

    columns: Mapping[str, str]
    mark: Mark | None = None
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """
    What a load does to a table.

    ``replace`` deletes the rows of ``windows`` and adds those of ``exports``. ``merge`` replaces rows that have the
    project and key of a row of ``exports``, unless they are later by the view's time column, and adds the others.
    ``exports`` are ordered by the end of their windows, oldest first. ``before_commit`` is called last before the
    commit; what it raises prevents that.
    """

    mode: Mode
    view: View
    exports: tuple[LandedExport, ...]
    columns: tuple[ManifestColumn, ...]
    mark: Mark
    before_commit: Callable[[], None] = lambda: None

    @property
    def windows(self) -> tuple[ProjectWindow, ...]:
        """The windows whose rows a replace deletes."""
        manifests = [export.manifest for export in self.exports]
        return tuple(
            ProjectWindow(
                project_id=each.project_id, start=each.window_start.astimezone(UTC), end=each.window_end.astimezone(UTC)
            )
            for each in manifests
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of all exports that have rows."""
        return tuple(part for export in self.exports for part in export.parts)

    @property
    def in_windows(self) -> str:
        """The rows of the windows, as a condition that SQL, Delta Lake and Iceberg have in common."""
        return " or ".join(
            f"({PROJECT} = {literal(window.project_id)} and {self.view.time} >= {literal(window.start.isoformat())} "
            f"and {self.view.time} < {literal(window.end.isoformat())})"
            for window in self.windows
        )

    @property
    def in_reach(self) -> str:
        """The rows between which those of the exports are: of the windows, or as early and late as a merge brings."""
        if self.mode == "replace":
            return self.in_windows
        bounds = [(part.manifest.project_id, part.bounds(self.view.time)) for part in self.parts]
        return " or ".join(
            f"({PROJECT} = {literal(project_id)} and {self.view.time} >= {literal(times.min.isoformat())} "
            f"and {self.view.time} <= {literal(times.max.isoformat())})"
            for project_id, times in bounds
        )

    @cached_property
    def required(self) -> frozenset[str]:
        """The columns that are never null."""
        return frozenset({PROJECT, self.view.key, self.view.time})

    def is_last_of(self, state: TableState) -> bool:
        """Return whether the mark of a table is that of this change."""
        return state.mark is not None and state.mark.digest == self.mark.digest

    def mark_after(self, state: TableState) -> Mark:
        """Return the mark of the table after the change: a merge leaves the query as it is."""
        query = self.mark.query if self.mode == "replace" else state.mark and state.mark.query
        return msgspec.structs.replace(self.mark, query=query)

    def new_columns(self, state: TableState) -> tuple[ManifestColumn, ...]:
        """Return the columns that a table does not have yet."""
        return tuple(column for column in self.columns if column.name not in state.columns)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """
    The result of a load.

    ``version`` is the table's own: a snapshot or a version; empty if it has none. ``is_changed`` is false if there was
    nothing to do. ``nul_values`` counts texts from which NUL characters were removed.
    """

    version: str = ""
    rows_deleted: int = 0
    rows_added: int = 0
    is_changed: bool = True
    nul_values: int = 0


class Session(Protocol):
    """A transaction of a table."""

    @property
    def types(self) -> Mapping[str, str]:
        """The types of columns, in the table's own words."""

    def open(self, change: Change) -> TableState:
        """Return the state of the table. If there is none, it is made, without rows."""

    def is_loaded(self, change: Change) -> bool:
        """Return whether this change is the last one that was applied, and nothing has changed the table since."""

    def apply(self, change: Change) -> Loaded:
        """
        Change the table: all of it or nothing.

        :raises ConcurrentLoadError: if another load changed the same rows.
        """


class Table(Protocol):
    """A table of one kind."""

    def session(self, directory: Path) -> AbstractContextManager[Session]:
        """
        Open a transaction, which changes no rows unless a change is applied.

        :param directory: A local directory, for copies of parts.
        :raises TableError: if the table cannot be used, for example without permission.
        :raises LoadError: if it cannot be reached.
        """
