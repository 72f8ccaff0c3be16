"""
Tables in a DuckDB file.

DuckDB lets one process open a file for writing. Loads into files of one directory wait for each other, so tasks that
run at the same time all land.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from airflow_langsmith.errors import ConcurrentLoadError, LoadError, TableError
from airflow_langsmith.export.storage import locked_directory
from airflow_langsmith.tables.causes import cause_of, has_any
from airflow_langsmith.tables.sql import SqlSession, quoted
from airflow_langsmith.tables.table import Session, literal
from airflow_langsmith.tables.uri import TableUri
from airflow_langsmith.views import View

TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "json": "VARCHAR",  # the text as it is; DuckDB's JSON functions take it
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "strings": "VARCHAR[]",
}
_READ_ONLY = ("ermission denied", "Read-only file system")
_NO_FILES = (
    "not a valid DuckDB database",
    "Is a directory",
    "database file with version",  # of a later DuckDB
    "extension",  # what the file is needs one, for example SQLite
)


@dataclass(frozen=True)
class DuckDbTable:
    """A table of a DuckDB file; the load makes what is missing: directory, file, schema and table."""

    uri: str
    path: str
    name: tuple[str, str]

    @contextmanager
    def session(self, directory: Path) -> Iterator[Session]:
        """Open the file, and begin a transaction."""
        with self._errors(), locked_directory(self.path), closing(duckdb.connect(self.path)) as connection:
            connection.begin()
            database = _Database(connection)
            # With the file's own name, because a schema of that name would be ambiguous.
            name = (database.name(), *self.name)
            database.execute(f"create schema if not exists {quoted(*name[:-1])}")
            yield SqlSession(database, name, directory)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, duckdb.Error) as error:
            cause = cause_of(error)
            if isinstance(error, duckdb.TransactionException):
                raise ConcurrentLoadError(
                    f"Another load changed {self.uri} at the same time. A retry will help."
                ) from error
            if isinstance(error, PermissionError) or has_any(error, _READ_ONLY):
                raise TableError(
                    f"The worker may not write {self.path}: {cause} Let the task's user write the file and its "
                    "directory, or use another."
                ) from error
            if isinstance(error, FileExistsError | NotADirectoryError) or has_any(error, _NO_FILES):
                raise TableError(
                    f"{self.path} is no file that this version of DuckDB can open: {cause} Correct the path, or use "
                    "another file, which the load makes."
                ) from error
            if isinstance(error, duckdb.IOException) and "lock" in cause:
                raise LoadError(
                    f"Another process has {self.path} open, and DuckDB lets one process write a file: {cause} A retry "
                    "will help once it is closed."
                ) from error
            if isinstance(error, duckdb.IOException | OSError | duckdb.OutOfMemoryException):
                raise LoadError(f"Could not load into {self.uri}: {cause} A retry may help.") from error
            raise TableError(f"DuckDB refused the load into {self.uri}: {cause} Use another table.") from error


class _Database:
    types = TYPES

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def name(self) -> str:
        row = self._connection.execute("select current_database()").fetchone()
        return str(row[0]) if row else ""

    def execute(self, statement: str) -> int:
        row = self._connection.execute(statement).fetchone()
        return int(row[0]) if row and isinstance(row[0], int) else 0

    def value(self, query: str) -> int:
        return self.execute(query)

    def columns(self, name: Sequence[str]) -> dict[str, str]:
        rows = self._connection.execute(
            "select column_name, data_type from duckdb_columns() where database_name = $1 "
            "and schema_name = $2 and table_name = $3 order by column_index",
            list(name),
        )
        return dict(rows.fetchall())

    def comment(self, name: Sequence[str]) -> str | None:
        row = self._connection.execute(
            "select comment from duckdb_tables() where database_name = $1 and schema_name = $2 and table_name = $3",
            list(name),
        ).fetchone()
        return row[0] if row else None

    def insert(self, table: str, columns: Sequence[str], path: Path) -> int:
        names = ", ".join(map(quoted, columns))
        self.execute(
            f"insert into {table} ({names}) "  # noqa: S608  # names are quoted
            f"select {names} from read_parquet({literal(str(path))}, hive_partitioning = false)"
        )
        return 0

    def indexes(self, view: View) -> Sequence[Sequence[str]]:  # noqa: ARG002  # every database's contract
        return ()

    def commit(self) -> None:
        self._connection.commit()


def table_at(address: TableUri) -> DuckDbTable:
    """Return the table at an address, by default in the schema ``main``."""
    *schema, name = address.name
    return DuckDbTable(address.uri, address.place, (schema[0] if schema else "main", name))
