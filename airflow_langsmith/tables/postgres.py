"""
Tables in PostgreSQL, filled by COPY from Arrow.

Loads into one table wait for each other: PostgreSQL would not let a load see the rows that another one adds meanwhile
to the window that it replaces, and both would stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_langsmith.errors import ConcurrentLoadError, LangSmithError, LoadError, TableError
from airflow_langsmith.export.destination import MAX_CAUSE
from airflow_langsmith.messages import shorten
from airflow_langsmith.tables.connections import postgres_conninfo
from airflow_langsmith.tables.sql import STAGED, SqlSession, quoted
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, Session, TableState, literal
from airflow_langsmith.tables.uri import TableUri
from airflow_langsmith.views import View

MAX_NAME_BYTES = 63  # PostgreSQL cuts longer names, after which two may be the same
_COPY_ROWS = 1000  # of a batch: a row may have megabytes
_NO_RETRY = ("22", "23", "28", "3D", "3F", "42")  # classes of SQLSTATE: data, constraints, users, names, permissions
_CONFLICTS = ("40001", "40P01", "55P03")  # serialization, deadlock, lock not available
# What a refused login says; it has no SQLSTATE.
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "no password",
)


_TYPES: Mapping[str, str] = {
    "string": "text",
    "json": "json",  # the text as it is; jsonb refuses \u0000, which a model's text may contain
    "boolean": "boolean",
    "integer": "bigint",
    "number": "double precision",
    "timestamp": "timestamp with time zone",
    "strings": "text[]",
}


@dataclass(frozen=True)
class PostgresTable:
    """A table of a PostgreSQL database; the load makes schema and table if they are missing."""

    uri: str
    conn_id: str
    name: tuple[str, str]

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Connect, begin a transaction, and wait for other loads of the table."""
        _check_names(self.name)
        conninfo = postgres_conninfo(self.conn_id)
        with self._errors(), adbc.connect(conninfo) as connection, connection.cursor() as cursor:
            database = _Database(connection, cursor, self.name)
            database.lock()
            yield _PostgresSession(database, self.name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except adbc.Error as error:
            raise self._error(error) from error

    def _error(self, error: Any) -> LangSmithError:
        cause = shorten(str(error), MAX_CAUSE)
        state = str(error.sqlstate or "")
        if state in _CONFLICTS:
            return ConcurrentLoadError(f"Another transaction changed {self.uri} at the same time. A retry will help.")
        if state == "42501":
            return TableError(
                f"Connection {self.conn_id!r} may not do that in {self.uri}: {cause} Grant it create on the schema, or "
                "let its user own the table."
            )
        if not state and any(refusal in cause for refusal in _REFUSALS):
            return TableError(f"PostgreSQL refused connection {self.conn_id!r}: {cause} Correct the connection.")
        if state.startswith(_NO_RETRY):
            return TableError(f"PostgreSQL refused the load into {self.uri}: {cause}")
        return LoadError(f"Could not load into {self.uri}: {cause} A retry may help. Connection {self.conn_id!r}.")


class _PostgresSession(SqlSession):
    def create(self, change: Change) -> TableState:
        """Make the table, unless a name would be cut."""
        _check_names(column.name for column in change.columns)
        return super().create(change)

    def apply(self, change: Change) -> Loaded:
        """Change the table, unless a name would be cut."""
        _check_names(column.name for column in change.columns)
        return super().apply(change)


class _Database:
    types = _TYPES

    def __init__(self, connection: adbc.Connection, cursor: adbc.Cursor, name: tuple[str, str]) -> None:
        self._connection, self._cursor, self._name = connection, cursor, name
        self._regclass = f"to_regclass({literal(quoted(*name))})"

    def lock(self) -> None:
        """Wait for other loads of the table, and keep them waiting until the transaction ends."""
        self._lock(*self._name)

    def execute(self, statement: str) -> int:
        self._cursor.execute(statement)
        return max(int(self._cursor.rowcount), 0)

    def columns(self, name: Sequence[str]) -> dict[str, str]:
        return dict(
            self._rows(
                "select attname::text, format_type(atttypid, atttypmod) from pg_attribute "  # noqa: S608  # a literal
                f"where attrelid = {self._regclass} and attnum > 0 and not attisdropped order by attnum"
            )
        ) or self._make_schema(name[0])

    def comment(self, name: Sequence[str]) -> str | None:  # noqa: ARG002  # every database's contract
        comment: str | None
        ((comment,),) = self._rows(f"select obj_description({self._regclass}, 'pg_class')")
        return comment

    def insert(self, table: str, columns: Sequence[str], path: Path) -> int:
        temporary = table == STAGED
        with pq.ParquetFile(path) as file:
            texts = _Texts(file)
            self._cursor.adbc_ingest(
                table if temporary else self._name[1],
                texts.reader(columns),
                mode="append",
                temporary=temporary,
                **({} if temporary else {"db_schema_name": self._name[0]}),
            )
        return texts.changed

    def indexes(self, view: View) -> Sequence[Sequence[str]]:
        return ((PROJECT, view.time), (view.key,))

    def commit(self) -> None:
        self._connection.commit()

    def _lock(self, *name: str) -> None:
        self._rows(f"select pg_advisory_xact_lock(hashtextextended({literal('langsmith ' + quoted(*name))}, 0))")

    def _rows(self, statement: str) -> Any:
        self._cursor.execute(statement)
        return self._cursor.fetchall()

    def _make_schema(self, schema: str) -> dict[str, str]:
        find = f"select 1 from pg_namespace where nspname = {literal(schema)}"  # noqa: S608  # a literal
        if not self._rows(find):
            self._lock(schema)  # the first load of another table may make it, and "if not exists" fails then
            if not self._rows(find):
                self.execute(f"create schema {quoted(schema)}")
        return {}


class _Texts:
    """The rows of a file without NUL characters, which PostgreSQL's text cannot store. JSON has them escaped."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.changed = 0  # texts that had one

    def reader(self, columns: Sequence[str]) -> pa.RecordBatchReader:
        schema = pa.schema([self._file.schema_arrow.field(name) for name in columns])
        batches = self._file.iter_batches(_COPY_ROWS, columns=list(columns))
        cleaned = (
            pa.RecordBatch.from_arrays([self._clean(batch.column(name)) for name in columns], schema=schema)
            for batch in batches
        )
        return pa.RecordBatchReader.from_batches(schema, cleaned)

    def _clean(self, values: pa.Array) -> pa.Array:
        if pa.types.is_list(values.type):
            items = self._clean(values.flatten())
            return pa.ListArray.from_arrays(_offsets(values), items, values.type, mask=values.is_null())
        if not pa.types.is_string(values.type):
            return values
        count = pc.sum(pc.match_substring(values, "\0")).as_py() or 0
        self.changed += count
        return pc.replace_substring(values, "\0", "") if count else values


def _offsets(values: pa.ListArray) -> pa.Array:
    """Return where each list begins in the flattened items, and where the last one ends."""
    lengths = pc.fill_null(values.value_lengths(), 0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])


def _check_names(names: Iterable[str]) -> None:
    if long := [name for name in names if len(name.encode()) > MAX_NAME_BYTES]:
        raise TableError(
            f"PostgreSQL cuts names after {MAX_NAME_BYTES} bytes, so two could become one: {', '.join(long[:3])}. "
            "Use shorter names."
        )


def table_at(address: TableUri) -> PostgresTable:
    """Return the table at an address."""
    schema, name = address.name
    return PostgresTable(address.uri, address.conn_id, (schema, name))
