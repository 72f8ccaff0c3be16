"""
Tables of Delta Lake, on a local disk or any store that Airflow has a connection for.

Each load is one commit, which carries the mark of the load. The view and the query are properties of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    SchemaMismatchError,
    TableNotFoundError,
)

from airflow_langsmith.errors import ConcurrentLoadError, LoadError, TableError
from airflow_langsmith.export.destination import connection_id
from airflow_langsmith.tables.causes import cause_of, has_any
from airflow_langsmith.tables.connections import delta_store
from airflow_langsmith.tables.rows import RowReader, arrow_schema
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, Session, TableState, read_mark
from airflow_langsmith.tables.uri import TableUri

_MARK = "langsmith"  # of a commit, and of the table
_MAX_COMMIT_RETRIES = 20  # of a commit of other rows than those that another load commits; each is a request or two
_ROW_GROUP_BYTES = 4 * 1024**2  # of packed rows; the library's row groups have a million rows, and wait in memory
_REFUSALS = (
    "401 Unauthorized",
    "403 Forbidden",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "PermissionDenied",
    "ermission denied",
    "Read-only file system",
)
_NO_PLACES = (
    "NoSuchBucket",
    "ContainerNotFound",
    "The specified bucket does not exist",
    "Path does not exist",  # but a file does
    "NotADirectory",
    "Not a directory",
    "must be specified",  # the account of Azure, without a connection
)

TYPES: Mapping[str, str] = {
    "string": "string",
    "json": "string",
    "boolean": "boolean",
    "integer": "long",
    "number": "double",
    "timestamp": "timestamp",
    "strings": "array<string>",
}


@dataclass(frozen=True)
class DeltaLakeTable:
    """A Delta table; the load makes it if it is missing."""

    uri: str
    place: str

    @contextmanager
    def session(self, directory: Path) -> Iterator[Session]:
        """Begin a commit to the table."""
        with _errors(self.uri, self.place):
            yield _DeltaSession(*delta_store(self.place), directory)


@contextmanager
def _errors(uri: str, place: str) -> Iterator[None]:
    """Raise an error of ours for whatever the library raises."""
    try:
        yield
    except (DeltaError, OSError) as error:
        conn_id = connection_id(place)
        scheme = place.partition("://")[0]
        is_local = scheme == "file"
        connect = f"name a connection: delta+{scheme}://conn_id@bucket/path"
        user = f"Connection {conn_id!r}" if conn_id else "The worker"
        cause = cause_of(error)
        if isinstance(error, CommitFailedError):
            raise ConcurrentLoadError(
                f"Another load changed the same rows of {uri} at the same time. A retry will help."
            ) from error
        if has_any(error, _REFUSALS):
            if is_local:
                cure = "Let the task's user write there."
            else:
                cure = "Correct its keys, or grant it list, read and write." if conn_id else f"Or {connect}."
            raise TableError(f"{user} may not read and write {uri}: {cause} {cure}") from error
        if has_any(error, _NO_PLACES):
            if is_local:
                cure = "Correct the path."
            else:
                cure = "Make the bucket, or correct the URI." if conn_id else f"Make the bucket, or {connect}."
            raise TableError(f"There is no place for a table at {uri}: {cause} {cure}") from error
        if isinstance(error, DeltaProtocolError | SchemaMismatchError):
            raise TableError(f"The table {uri} cannot take the rows: {cause} Load into another table.") from error
        check = "check the table" if is_local else f"check connection {conn_id!r}" if conn_id else connect
        raise LoadError(f"Could not load into {uri}: {cause} A retry may help; if it does not, {check}.") from error


class _DeltaSession:
    types = TYPES

    def __init__(self, place: str, options: dict[str, str], directory: Path) -> None:
        self._place, self._options, self._directory = place, options, directory

    def open(self, change: Change) -> TableState:
        """Read the newest version of the table. If there is none, it is made, without rows."""
        try:
            self._table = DeltaTable(self._place, storage_options=self._options)
        except TableNotFoundError:
            self._table = self._create(change)
        self._state = _state(self._table)
        return self._state

    def is_loaded(self, change: Change) -> bool:
        """Return whether this change made the newest version."""
        return change.is_last_of(self._state)

    def apply(self, change: Change) -> Loaded:
        """Change the table, in one commit."""
        table, mark = self._table, change.mark_after(self._state)
        if self._state.mark is None or self._state.mark.query != mark.query:
            table.alter.set_table_properties({_MARK: mark.of_table}, raise_if_not_exists=False)
        properties = CommitProperties(custom_metadata={_MARK: str(mark)}, max_commit_retries=_MAX_COMMIT_RETRIES)
        change.before_commit()  # the library writes and commits in one step
        if not change.parts:
            return self._delete(table, change, properties)
        rows = RowReader(change, self._directory)
        write = self._replace if change.mode == "replace" else self._merge
        try:
            return write(table, change, rows, properties)
        except Exception as error:  # noqa: BLE001  # whatever the library makes of an error of the rows
            raise rows.error or error from None

    def _create(self, change: Change) -> DeltaTable:
        return DeltaTable.create(
            self._place,
            schema=arrow_schema(change.columns, change.required),
            mode="ignore",  # if another load has made it meanwhile
            storage_options=self._options,
            configuration={_MARK: change.mark.of_table},
            raise_if_key_not_exists=False,
        )

    def _delete(self, table: DeltaTable, change: Change, properties: CommitProperties) -> Loaded:
        if change.mode == "merge":
            return Loaded(version=str(table.version()), is_changed=False)
        metrics = table.delete(change.in_windows, commit_properties=properties)
        deleted = metrics["num_deleted_rows"]
        return Loaded(version=str(table.version()), rows_deleted=deleted, is_changed=deleted > 0)

    def _replace(self, table: DeltaTable, change: Change, rows: RowReader, properties: CommitProperties) -> Loaded:
        write_deltalake(
            table,
            rows.reader(),
            mode="overwrite",
            predicate=change.in_windows,
            schema_mode="merge",
            writer_properties=_writer_properties(change),
            commit_properties=properties,
        )
        added = sum(part.file.rows for part in change.parts)
        version = table.version()  # of this commit, also if others came since
        after, before = (DeltaTable(self._place, number, self._options).count() for number in (version, version - 1))
        return Loaded(version=str(version), rows_deleted=before + added - after, rows_added=added)

    def _merge(self, table: DeltaTable, change: Change, rows: RowReader, properties: CommitProperties) -> Loaded:
        names = [column.name for column in change.columns]
        values = {_name(name): f"rows.{_name(name)}" for name in names}
        is_same = " and ".join(f"loaded.{name} = rows.{name}" for name in map(_name, (PROJECT, change.view.key)))
        time = _name(change.view.time)
        metrics = (
            table.merge(
                rows.reader(),
                is_same,
                source_alias="rows",
                target_alias="loaded",
                merge_schema=True,
                writer_properties=_writer_properties(change),
                commit_properties=properties,
            )
            .when_matched_update(values, predicate=f"rows.{time} >= loaded.{time}")
            .when_not_matched_insert(values)
            .execute()
        )
        replaced, inserted = metrics["num_target_rows_updated"], metrics["num_target_rows_inserted"]
        return Loaded(version=str(table.version()), rows_deleted=replaced, rows_added=replaced + inserted)


def _writer_properties(change: Change) -> WriterProperties:
    """Return how files are written: packed as parts are, and in row groups that take little memory."""
    files = [part.file for part in change.parts]
    row_group_rows = _ROW_GROUP_BYTES * sum(file.rows for file in files) // sum(file.bytes for file in files)
    return WriterProperties(compression="ZSTD", max_row_group_size=max(row_group_rows, 1))


def _state(table: DeltaTable) -> TableState:
    columns = {field.name: _type_name(field.type) for field in table.schema().fields}
    commit, *_ = table.history(1)  # the newest first; more if others came since the table was read
    head = read_mark(commit.get(_MARK))
    mark = head or read_mark(table.metadata().configuration.get(_MARK))
    return TableState(columns=columns, mark=mark, version=str(table.version()))


def _type_name(type_: Any) -> str:
    return (
        f"array<{_type_name(type_.element_type)}>"
        if hasattr(type_, "element_type")
        else str(getattr(type_, "type", type_))
    )


def _name(name: str) -> str:
    return f"`{name}`"


def table_at(address: TableUri) -> DeltaLakeTable:
    """Return the table at an address."""
    return DeltaLakeTable(address.uri, address.place)
