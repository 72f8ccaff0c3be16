"""Tables of Apache Iceberg: a load is one snapshot, which takes data files out of the table and puts others in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    ForbiddenError,
    NoSuchTableError,
    NotInstalledError,
    TableAlreadyExistsError,
    UnauthorizedError,
    ValidationException,
)
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IcebergType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from airflow_langsmith.errors import ConcurrentLoadError, ConfigurationError, LangSmithError, LoadError, TableError
from airflow_langsmith.export.destination import MAX_CAUSE
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.messages import shorten
from airflow_langsmith.tables.connections import iceberg_catalog
from airflow_langsmith.tables.data_files import DataFiles
from airflow_langsmith.tables.rewrite import Rewrite
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, Mark, Session, TableState, opened, read_mark
from airflow_langsmith.tables.uri import TableUri

_MARK = "langsmith"  # of a snapshot, and of the table
_NAME_MAPPING = "schema.name-mapping.default"  # parts have no field ids: columns go by their names
_METRICS = "write.metadata.metrics"
_LIBRARIES = (
    "botocore",
    "pyiceberg",
    "requests",
    "sqlalchemy",
    "urllib3",
)  # whose errors are of the catalog or the store
_REFUSALS = ("403", "Forbidden", "ACCESS_DENIED", "AccessDenied", "ermission denied")

_ICEBERG: Mapping[str, IcebergType] = {
    "string": StringType(),
    "json": StringType(),
    "boolean": BooleanType(),
    "integer": LongType(),
    "number": DoubleType(),
    "timestamp": TimestamptzType(),
}


_TYPES: Mapping[str, str] = {
    **{name: str(type_) for name, type_ in _ICEBERG.items()},
    "strings": "list<string>",
}


@dataclass(frozen=True)
class IcebergTable:
    """A table of a catalog; the load makes namespace and table if they are missing."""

    uri: str
    conn_id: str
    name: tuple[str, ...]

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Load the newest metadata of the table."""
        with self._errors():
            catalog = iceberg_catalog(self.conn_id)
            try:
                table = catalog.load_table(self.name)
            except NoSuchTableError:
                table = None
            yield _IcebergSession(catalog, self.name, table)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (CommitFailedException, ValidationException) as error:
            raise ConcurrentLoadError(
                f"Another load changed the same rows of {self.uri} at the same time. A retry will help."
            ) from error
        except NotInstalledError as error:
            raise ConfigurationError(
                f"Connection {self.conn_id!r} needs another package for its catalog: {error}"
            ) from error
        except Exception as error:
            is_of_us = not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _LIBRARIES
            if is_of_us or isinstance(error, LangSmithError):
                raise
            cause = shorten(f"{type(error).__name__}: {error}", MAX_CAUSE)
            if isinstance(error, ForbiddenError | UnauthorizedError | PermissionError) or any(
                refusal in cause for refusal in _REFUSALS
            ):
                raise TableError(
                    f"Connection {self.conn_id!r} may not read and write {self.uri}: {cause}. Grant it, in the catalog "
                    "and in the store of the warehouse."
                ) from error
            raise LoadError(
                f"Could not load into {self.uri}: {cause}. A retry may help; if it does not, check connection "
                f"{self.conn_id!r}."
            ) from error


class _IcebergSession:
    types = _TYPES

    def __init__(self, catalog: Catalog, name: tuple[str, ...], table: Table | None) -> None:
        self._catalog, self._name, self._table = catalog, name, table
        self.state = _state(table) if table else None

    def apply(self, change: Change) -> Loaded:
        """Change the table, by one snapshot."""
        table = opened(self._table)
        files = DataFiles(table, change)
        try:
            with working_directory() as directory:
                rewrite = Rewrite(table, change, files, directory)
                rewrite.run()
        except BaseException:
            files.discard()
            raise
        if not rewrite.removed and not files.paths:
            return Loaded(version=_version(table), is_changed=False)
        try:
            self._commit(table, change, rewrite, files)
        except (CommitFailedException, ValidationException):  # after any other error the files may be in the table
            files.discard()
            raise
        return Loaded(version=_version(table), rows_deleted=rewrite.rows_deleted, rows_added=rewrite.rows_added)

    def create(self, change: Change) -> TableState:
        """Make the table, partitioned by the day of the view's time column."""
        self._table = self._create(change)
        self.state = _state(self._table)
        return self.state

    def _create(self, change: Change) -> Table:
        namespace = self._name[:-1]
        if not self._catalog.namespace_exists(namespace):
            self._catalog.create_namespace_if_not_exists(namespace)
        view = change.view
        fields = [
            NestedField(number, column.name, _type(column.type, 1000 + number), column.name in change.required)
            for number, column in enumerate(change.columns, 1)
        ]
        numbers = {field.name: field.field_id for field in fields}
        schema = assign_fresh_schema_ids(Schema(*fields, identifier_field_ids=[numbers[view.key]]))
        day = PartitionField(numbers[view.time], 1000, DayTransform(), f"{view.time}_day")
        times = [column.name for column in change.columns if column.type == "timestamp"]
        properties = {
            _MARK: _table_mark(change.mark),
            # From the first, so that a load changes it only with the columns, which no two loads change at a time.
            _NAME_MAPPING: schema.name_mapping.model_dump_json(),
            f"{_METRICS}.default": "none",  # parts have statistics of some columns only
            **{f"{_METRICS}.column.{name}": "full" for name in (PROJECT, view.key, *times)},
        }
        try:
            return self._catalog.create_table(
                self._name, schema, partition_spec=PartitionSpec(day), properties=properties
            )
        except TableAlreadyExistsError:  # another load has made it meanwhile
            return self._catalog.load_table(self._name)

    def _commit(self, table: Table, change: Change, rewrite: Rewrite, files: DataFiles) -> None:
        transaction = table.transaction()
        state = opened(self.state)
        mark = change.mark_after(state)
        with transaction.update_schema() as update:
            for column in change.new_columns(state):
                update.add_column(column.name, _type(column.type, 0))
        properties = {
            _MARK: _table_mark(mark),
            _NAME_MAPPING: transaction.table_metadata.schema().name_mapping.model_dump_json(),
        }
        if changed := {name: value for name, value in properties.items() if table.properties.get(name) != value}:
            transaction.set_properties(changed)
        with transaction.update_snapshot({_MARK: str(mark)}).overwrite() as snapshot:
            snapshot.delete_by_predicate(rewrite.predicate)  # rows that another load adds there are a conflict
            for data_file in rewrite.removed:
                snapshot.delete_data_file(data_file)
            for path in files.paths:
                snapshot.append_data_file(parquet_file_to_data_file(table.io, transaction.table_metadata, path))
        change.before_commit()
        transaction.commit_transaction()


def _state(table: Table) -> TableState:
    snapshot = table.current_snapshot()
    head = read_mark(snapshot.summary.get(_MARK)) if snapshot and snapshot.summary else None
    mark = head or read_mark(table.properties.get(_MARK))
    columns = {field.name: str(field.field_type) for field in table.schema().fields}
    return TableState(columns=columns, mark=mark, version=_version(table))


def _version(table: Table) -> str:
    snapshot = table.current_snapshot()
    return str(snapshot.snapshot_id) if snapshot else ""


def _table_mark(mark: Mark) -> str:
    """Return what of a mark is true of the table, whatever was loaded last."""
    return str(Mark(view=mark.view, query=mark.query))


def _type(type_: str, element_id: int) -> IcebergType:
    if type_ == "strings":
        return ListType(element_id, StringType(), element_required=False)
    return _ICEBERG[type_]


def table_at(address: TableUri) -> IcebergTable:
    """Return the table at an address."""
    return IcebergTable(address.uri, address.conn_id, address.name)
