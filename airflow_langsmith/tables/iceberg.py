"""Tables of Apache Iceberg: a load is one snapshot, which takes data files out of the table and puts others in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    ForbiddenError,
    NoSuchTableError,
    NotInstalledError,
    OAuthError,
    TableAlreadyExistsError,
    UnauthorizedError,
    ValidationException,
)
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table, Transaction
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
from airflow_langsmith.export.arrow import has_statistics
from airflow_langsmith.tables.causes import cause_of, has_any
from airflow_langsmith.tables.connections import iceberg_catalog
from airflow_langsmith.tables.data_files import DataFiles
from airflow_langsmith.tables.rewrite import Rewrite
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, Session, TableState, read_mark
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
_REFUSALS = (
    "403 Forbidden",
    "(403)",
    "Forbidden",
    "ACCESS_DENIED",
    "AccessDenied",
    "INVALID_ACCESS_KEY_ID",
    "InvalidAccessKeyId",
    "SIGNATURE_DOES_NOT_MATCH",
    "SignatureDoesNotMatch",
    "ermission denied",
    "ead-only file system",
    "authentication failed",
    "readonly database",
)
_WRONG = (
    "NO_SUCH_BUCKET",
    "NoSuchBucket",
    "The specified bucket does not exist",
    "No default path is set",  # no warehouse
    "unable to open database file",
    "file is not a database",
    "You must specify a region",
    "Unable to locate credentials",
    "Not a directory",
    "NotADirectory",
    "RESTError 404",  # at that host is something else
    "No such endpoint",
    "Can't load plugin",  # of SQLAlchemy
    "Could not parse SQLAlchemy URL",
)

_ICEBERG: Mapping[str, IcebergType] = {
    "string": StringType(),
    "json": StringType(),
    "boolean": BooleanType(),
    "integer": LongType(),
    "number": DoubleType(),
    "timestamp": TimestamptzType(),
}


TYPES: Mapping[str, str] = {
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
    def session(self, directory: Path) -> Iterator[Session]:
        """Begin a snapshot of the table."""
        with _errors(self.uri, self.conn_id, directory):
            yield _IcebergSession(iceberg_catalog(self.conn_id), self.name, directory)


@contextmanager
def _errors(uri: str, conn_id: str, directory: Path) -> Iterator[None]:
    """Raise an error of ours for whatever the libraries of the catalog and the store raise."""
    try:
        yield
    except LangSmithError:
        raise
    except (CommitFailedException, ValidationException) as error:
        raise ConcurrentLoadError(
            f"Another load changed the same rows of {uri} at the same time. A retry will help."
        ) from error
    except (ImportError, NotInstalledError) as error:
        raise ConfigurationError(
            f"Connection {conn_id!r} needs a package that is not installed: {cause_of(error)} Install it for the "
            "workers, with the extra of pyiceberg that brings it."
        ) from error
    except Exception as error:
        is_local = isinstance(error, OSError) and f"{directory}/" in f"{error}"
        is_known = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _LIBRARIES
        if is_local or not (is_known or has_any(error, _WRONG)):
            raise
        cause = f"{type(error).__name__}: {cause_of(error)}"
        if isinstance(error, ForbiddenError | OAuthError | UnauthorizedError | PermissionError) or has_any(
            error, _REFUSALS
        ):
            raise TableError(
                f"Connection {conn_id!r} may not read and write {uri}: {cause} Correct its user and password, or grant "
                "it the rights in the catalog and in the store of the warehouse."
            ) from error
        if has_any(error, _WRONG):
            raise TableError(
                f"Connection {conn_id!r} reaches no table {uri}: {cause} Correct the connection."
            ) from error
        raise LoadError(
            f"Could not load into {uri}: {cause} A retry may help; if it does not, check connection {conn_id!r}."
        ) from error


class _IcebergSession:
    types = TYPES

    def __init__(self, catalog: Catalog, name: tuple[str, ...], directory: Path) -> None:
        self._catalog, self._name, self._directory = catalog, name, directory

    def open(self, change: Change) -> TableState:
        """Load the newest metadata of the table. If there is none, it is made, without rows."""
        try:
            self._table = self._catalog.load_table(self._name)
        except NoSuchTableError:
            self._table = self._create(change)
        self._state = _state(self._table)
        return self._state

    def is_loaded(self, change: Change) -> bool:
        """Return whether this change made the newest snapshot."""
        return change.is_last_of(self._state)

    def apply(self, change: Change) -> Loaded:
        """Change the table, by one snapshot."""
        table, files = self._table, DataFiles(self._table, change)
        try:
            rewrite = Rewrite(table, change, files, self._directory)
            rewrite.run()
            if not rewrite.removed and not files.paths:
                return Loaded(version=_version(table), is_changed=False)
            transaction = self._transaction(change, rewrite, files)
            change.before_commit()
        except BaseException:
            files.discard()
            raise
        try:
            transaction.commit_transaction()
        except (CommitFailedException, ValidationException):  # after any other error the files may be in the table
            files.discard()
            raise
        return Loaded(version=_version(table), rows_deleted=rewrite.rows_deleted, rows_added=rewrite.rows_added)

    def _create(self, change: Change) -> Table:
        namespace = self._name[:-1]
        if not self._catalog.namespace_exists(namespace):
            self._catalog.create_namespace_if_not_exists(namespace)
        fields = [
            NestedField(number, column.name, _type(column.type, 1000 + number), column.name in change.required)
            for number, column in enumerate(change.columns, 1)
        ]
        numbers = {field.name: field.field_id for field in fields}
        schema = assign_fresh_schema_ids(Schema(*fields, identifier_field_ids=[numbers[change.view.key]]))
        time = schema.find_field(change.view.time)
        day = PartitionField(time.field_id, 1000, DayTransform(), f"{time.name}_day")
        properties = {
            _MARK: change.mark.of_table,
            "commit.retry.num-retries": "20",  # of a commit of other rows than those that another load commits
            # From the first, so that a load changes it only with the columns, which no two loads change at a time.
            _NAME_MAPPING: schema.name_mapping.model_dump_json(),
            **_metrics(change),
        }
        try:
            return self._catalog.create_table(
                self._name, schema, partition_spec=PartitionSpec(day), properties=properties
            )
        except TableAlreadyExistsError:  # another load has made it meanwhile
            return self._catalog.load_table(self._name)

    def _transaction(self, change: Change, rewrite: Rewrite, files: DataFiles) -> Transaction:
        table, mark = self._table, change.mark_after(self._state)
        transaction = table.transaction()
        with transaction.update_schema() as update:  # and the mapping of names with it, if there is one
            for column in change.new_columns(self._state):
                update.add_column(column.name, _type(column.type, 0))
        properties = {_MARK: mark.of_table}
        if transaction.table_metadata.name_mapping() is None:
            properties[_NAME_MAPPING] = transaction.table_metadata.schema().name_mapping.model_dump_json()
        if changed := {name: value for name, value in properties.items() if table.properties.get(name) != value}:
            transaction.set_properties(changed)
        with transaction.update_snapshot({_MARK: str(mark)}).overwrite() as snapshot:
            snapshot.delete_by_predicate(rewrite.predicate)  # rows that another load adds there are a conflict
            for data_file in rewrite.removed:
                snapshot.delete_data_file(data_file)
            for path in files.paths:
                snapshot.append_data_file(parquet_file_to_data_file(table.io, transaction.table_metadata, path))
        return transaction


def _metrics(change: Change) -> dict[str, str]:
    """Return the properties by which a table keeps the bounds of ids, numbers, flags and times, as parts have them."""
    names = {column.name for column in change.columns if has_statistics(column.name, column.type)}
    whole = {PROJECT, change.view.key}  # a delete is proved by the whole id of a project
    return {
        f"{_METRICS}.default": "none",
        **{f"{_METRICS}.column.{name}": "full" if name in whole else "truncate(16)" for name in names | whole},
    }


def _state(table: Table) -> TableState:
    snapshot = table.current_snapshot()
    head = read_mark(snapshot.summary.get(_MARK)) if snapshot and snapshot.summary else None
    mark = head or read_mark(table.properties.get(_MARK))
    columns = {field.name: str(field.field_type) for field in table.schema().fields}
    return TableState(columns=columns, mark=mark, version=_version(table))


def _version(table: Table) -> str:
    snapshot = table.current_snapshot()
    return str(snapshot.snapshot_id) if snapshot else ""


def _type(type_: str, element_id: int) -> IcebergType:
    if type_ == "strings":
        return ListType(element_id, StringType(), element_required=False)
    return _ICEBERG[type_]


def table_at(address: TableUri) -> IcebergTable:
    """Return the table at an address."""
    return IcebergTable(address.uri, address.conn_id, address.name)
