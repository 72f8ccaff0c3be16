"""A load into a database: the same statements for DuckDB and PostgreSQL, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.manifest import ManifestColumn
from airflow_langsmith.tables.parts import Part
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, TableState, literal, opened, read_mark
from airflow_langsmith.views import View

STAGED = "langsmith_staged_rows"  # a temporary table: the rows of one export


class Database(Protocol):
    """A connection to a database in a transaction."""

    @property
    def types(self) -> Mapping[str, str]:
        """The types of columns, in the database's own words."""

    def execute(self, statement: str) -> int:
        """Execute a statement; return how many rows it changed."""

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

    def __init__(self, database: Database, name: tuple[str, str]) -> None:
        self.types = database.types
        self._database, self._table = database, quoted(*name)
        columns = database.columns(name)
        self._text, _, mark = (database.comment(name) or "").rpartition("\n") if columns else ("", "", "")
        self.state = TableState(columns=columns, mark=read_mark(mark)) if columns else None
        if self.state and self.state.mark is None:
            self._text = f"{self._text}\n{mark}".strip("\n")
        self._is_new = False

    def create(self, change: Change) -> TableState:
        """Make the table, with its indexes."""
        columns = ", ".join(
            f"{self._column(column)}{' not null' * (column.name in change.required)}" for column in change.columns
        )
        self._database.execute(f"create table {self._table} ({columns})")
        for names in self._database.indexes(change.view):
            self._database.execute(f"create index on {self._table} ({', '.join(map(quoted, names))})")
        self._is_new = True
        self.state = TableState(columns={column.name: self.types[column.type] for column in change.columns})
        return self.state

    def apply(self, change: Change) -> Loaded:
        """Change the table, and commit that."""
        state = opened(self.state)
        new = change.new_columns(state)
        for column in new:
            self._database.execute(f"alter table {self._table} add column {self._column(column)}")
        load = self._replace if change.mode == "replace" else self._merge
        with working_directory() as directory:
            deleted, added, nul_values = load(change, directory)
        if not (deleted or added or new or self._is_new):
            return Loaded(is_changed=False)
        mark = change.mark_after(state)
        comment = f"{self._text}\n{mark}".lstrip("\n")
        self._database.execute(f"comment on table {self._table} is {literal(comment)}")
        change.before_commit()
        self._database.commit()
        return Loaded(rows_deleted=deleted, rows_added=added, nul_values=nul_values)

    def _replace(self, change: Change, directory: Path) -> tuple[int, int, int]:
        deleted = self._database.execute(f"delete from {self._table} where {change.in_windows}")  # noqa: S608
        nul_values = sum(self._insert(self._table, change.parts, directory))
        return deleted, sum(part.file.rows for part in change.parts), nul_values

    def _merge(self, change: Change, directory: Path) -> tuple[int, int, int]:
        replaced = added = nul_values = 0
        for export in change.exports:
            names = [column.name for column in export.manifest.columns]
            columns = ", ".join(map(quoted, names))
            updates = ", ".join(f"{quoted(name)} = staged.{quoted(name)}" for name in names)
            is_same = " and ".join(f"loaded.{name} = staged.{name}" for name in map(quoted, (change.view.key, PROJECT)))
            time = quoted(change.view.time)
            self._database.execute(f"create temp table {STAGED} as select {columns} from {self._table} limit 0")  # noqa: S608
            nul_values += sum(self._insert(STAGED, export.parts, directory))
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

    def _insert(self, table: str, parts: Iterable[Part], directory: Path) -> Iterator[int]:
        for part in parts:
            with part.local(directory) as path:
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
