"""A load into a database: the same statements for DuckDB and PostgreSQL, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from airflow_langsmith.manifest import ManifestColumn
from airflow_langsmith.tables.parts import Part
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, TableState, literal, read_mark
from airflow_langsmith.views import View

STAGED = "langsmith_staged_rows"  # a temporary table: the rows of one export


class Database(Protocol):
    """A connection to a database in a transaction."""

    @property
    def types(self) -> Mapping[str, str]:
        """The types of columns, in the database's own words."""

    def execute(self, statement: str) -> int:
        """Execute a statement; return how many rows it changed."""

    def value(self, query: str) -> int:
        """Return the number that a query returns."""

    def columns(self, name: Sequence[str]) -> dict[str, str]:
        """Return the columns of a table with their types; none if there is no such table."""

    def comment(self, name: Sequence[str]) -> str | None:
        """Return the comment of a table."""

    def insert(self, table: str, columns: Sequence[str], path: Path) -> int:
        """Insert a Parquet file into a table, given as SQL; return how many texts had to be changed."""

    def indexes(self, view: View) -> Sequence[Sequence[str]]:
        """Return the columns of each index of a new table."""

    def commit(self) -> None:
        """Commit the transaction."""


class SqlSession:
    """
    A transaction of a database, which the caller rolls back unless it is committed.

    The mark of the last load is the last line of the table's comment, behind what people wrote there.
    """

    def __init__(self, database: Database, name: Sequence[str], directory: Path) -> None:
        self.types = database.types
        self._database, self._name, self._table, self._directory = database, name, quoted(*name), directory
        self._is_new = False

    def open(self, change: Change) -> TableState:
        """Return the state of the table. If there is none, it is made, without rows."""
        columns = self._database.columns(self._name)
        if not columns:
            self._create(change)
            columns = {column.name: self.types[column.type] for column in change.columns}
        self._text, _, last_line = (self._database.comment(self._name) or "").rpartition("\n")
        mark = read_mark(last_line)
        if mark is None:
            self._text = f"{self._text}\n{last_line}".strip("\n")
        self._state = TableState(columns=columns, mark=mark)
        return self._state

    def is_loaded(self, change: Change) -> bool:
        """Return whether this change was the last one, and its rows are as many as it left."""
        mark = self._state.mark
        return mark is not None and change.is_last_of(self._state) and mark.rows == self._rows_in_reach(change)

    def apply(self, change: Change) -> Loaded:
        """Change the table, and commit that."""
        new = change.new_columns(self._state)
        for column in new:
            self._database.execute(f"alter table {self._table} add column {self._column(column)}")
        load = self._replace if change.mode == "replace" else self._merge
        deleted, added, nul_values = load(change)
        if not (deleted or added or new or self._is_new):
            return Loaded(is_changed=False)
        mark = msgspec.structs.replace(change.mark_after(self._state), rows=self._rows_in_reach(change))
        comment = f"{self._text}\n{mark}".lstrip("\n")
        self._database.execute(f"comment on table {self._table} is {literal(comment)}")
        change.before_commit()
        self._database.commit()
        return Loaded(rows_deleted=deleted, rows_added=added, nul_values=nul_values)

    def _create(self, change: Change) -> None:
        self._is_new = True
        columns = ", ".join(
            f"{self._column(column)}{' not null' * (column.name in change.required)}" for column in change.columns
        )
        self._database.execute(f"create table {self._table} ({columns})")
        for names in self._database.indexes(change.view):
            self._database.execute(f"create index on {self._table} ({', '.join(map(quoted, names))})")

    def _rows_in_reach(self, change: Change) -> int:
        where = change.in_reach or "false"
        return self._database.value(f"select count(*) from {self._table} where {where}")  # noqa: S608

    def _replace(self, change: Change) -> tuple[int, int, int]:
        deleted = self._database.execute(f"delete from {self._table} where {change.in_windows}")  # noqa: S608
        nul_values = sum(self._insert(self._table, change.parts))
        return deleted, sum(part.file.rows for part in change.parts), nul_values

    def _merge(self, change: Change) -> tuple[int, int, int]:
        replaced = added = nul_values = 0
        for export in change.exports:
            names = [column.name for column in export.manifest.columns]
            columns = ", ".join(map(quoted, names))
            updates = ", ".join(f"{quoted(name)} = staged.{quoted(name)}" for name in names)
            is_same = " and ".join(f"loaded.{name} = staged.{name}" for name in map(quoted, (change.view.key, PROJECT)))
            time = quoted(change.view.time)
            self._database.execute(f"create temp table {STAGED} as select {columns} from {self._table} limit 0")  # noqa: S608
            nul_values += sum(self._insert(STAGED, export.parts))
            updated = self._database.execute(
                f"update {self._table} as loaded set {updates} from {STAGED} as staged "  # noqa: S608
                f"where {is_same} and staged.{time} >= loaded.{time}"
            )
            inserted = self._database.execute(
                f"insert into {self._table} ({columns}) select {columns} from {STAGED} as staged "  # noqa: S608
                f"where not exists (select 1 from {self._table} as loaded where {is_same})"
            )
            self._database.execute(f"drop table {STAGED}")
            replaced, added = replaced + updated, added + updated + inserted
        return replaced, added, nul_values

    def _insert(self, table: str, parts: Iterable[Part]) -> Iterator[int]:
        for part in parts:
            with part.local(self._directory) as path:
                yield self._database.insert(table, part.columns, path)

    def _column(self, column: ManifestColumn) -> str:
        return f"{quoted(column.name)} {self.types[column.type]}"


def quoted(*names: str) -> str:
    """
    Return names as SQL.

    >>> quoted("lake", "runs")
    '"lake"."runs"'
    """
    return ".".join('"{}"'.format(name.replace('"', '""')) for name in names)
