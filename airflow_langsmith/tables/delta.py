"""
Tables of Delta Lake, on a local disk or any store that Airflow has a connection for.

Each load is one commit, which carries the mark of the load. The view and the query are properties of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from airflow_langsmith.errors import ConcurrentLoadError, LoadError, TableError
from airflow_langsmith.export.destination import MAX_CAUSE, connection_id
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.messages import shorten
from airflow_langsmith.tables.connections import delta_store
from airflow_langsmith.tables.rows import RowReader, arrow_schema
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, Mark, Session, TableState, opened, read_mark
from airflow_langsmith.tables.uri import TableUri

_MARK = "langsmith"  # of a commit, and of the table
_MAX_COMMIT_RETRIES = 20  # of a commit of other rows than those that another load commits; each is a request or two
_REFUSALS = (
    "403",
    "Forbidden",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ermission denied",
    "NoSuchBucket",
)


_TYPES: Mapping[str, str] = {
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
    def session(self) -> Iterator[Session]:
        """Read the newest version of the table."""
        with self._errors():
            place, options = delta_store(self.place)
            try:
                table = DeltaTable(place, storage_options=options)
            except TableNotFoundError:
                table = None
            yield _DeltaSession(place, options, table)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as error:
            cause = shorten(f"{error}", MAX_CAUSE)
            if isinstance(error, CommitFailedError):
                raise ConcurrentLoadError(
                    f"Another load changed the same rows of {self.uri} at the same time. A retry will help."
                ) from error
            if any(refusal in cause for refusal in _REFUSALS):
                conn_id = connection_id(self.place)
                user = f"Connection {conn_id!r}" if conn_id else "The worker"
                raise TableError(f"{user} may not read and write {self.uri}: {cause} Grant it.") from error
            raise LoadError(f"Could not load into {self.uri}: {cause} A retry may help.") from error


class _DeltaSession:
    types = _TYPES

    def __init__(self, place: str, options: dict[str, str], table: DeltaTable | None) -> None:
        self._place, self._options, self._table = place, options, table
        self.state = _state(table) if table else None

    def create(self, change: Change) -> TableState:
        """Make the table, with the view and the query as its properties."""
        self._table = DeltaTable.create(
            self._place,
            schema=arrow_schema(change.columns, change.required),
            mode="ignore",  # if another load has made it meanwhile
            storage_options=self._options,
            configuration={_MARK: _table_mark(change.mark)},
            raise_if_key_not_exists=False,
        )
        self.state = _state(self._table)
        return self.state

    def apply(self, change: Change) -> Loaded:
        """Change the table, in one commit."""
        table, state = opened(self._table), opened(self.state)
        mark = change.mark_after(state)
        if state.mark is None or state.mark.query != mark.query:
            table.alter.set_table_properties({_MARK: _table_mark(mark)}, raise_if_not_exists=False)
        properties = CommitProperties(custom_metadata={_MARK: str(mark)}, max_commit_retries=_MAX_COMMIT_RETRIES)
        change.before_commit()  # the library writes and commits in one step
        if not change.parts:
            return self._delete(table, change, properties)
        with working_directory() as directory:
            rows = RowReader(change, directory)
            write = self._replace if change.mode == "replace" else self._merge
            try:
                return write(table, change, rows, properties)
            except Exception as error:  # noqa: BLE001  # whatever the library makes of an error of the rows
                raise rows.error or error from None

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
                commit_properties=properties,
            )
            .when_matched_update(values, predicate=f"rows.{time} >= loaded.{time}")
            .when_not_matched_insert(values)
            .execute()
        )
        replaced, inserted = metrics["num_target_rows_updated"], metrics["num_target_rows_inserted"]
        return Loaded(version=str(table.version()), rows_deleted=replaced, rows_added=replaced + inserted)


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


def _table_mark(mark: Mark) -> str:
    """Return what of a mark is true of the table, whatever was loaded last."""
    return str(Mark(view=mark.view, query=mark.query))


def _name(name: str) -> str:
    return f"`{name}`"


def table_at(address: TableUri) -> DeltaLakeTable:
    """Return the table at an address."""
    return DeltaLakeTable(address.uri, address.place)
