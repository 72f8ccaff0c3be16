"""Fixtures of tables: each kind of table, read back by an engine that did not write it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import uuid4

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.types.string import TextLoader

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.operators import LangSmithLoadOperator
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf, RunExport
from tests.tables.ceph import ceph_server
from tests.tables.processes import ROUNDS, Loader, loader
from tests.tables.servers import S3Server, postgres_server, sql_catalog

Rows = list[dict[str, Any]]
LoadInto = Callable[..., dict[str, Any]]
Exported = dict[str, Any]
ExportDay = Callable[..., Exported]
Refuse = Callable[..., str]

FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NEVER = "A retry will not help."


class Kind(Protocol):
    """A kind of table."""

    def uri(self, name: str) -> str:
        """Return the URI of a table."""

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""

    def clear(self, name: str) -> None:
        """Delete the rows of a table, as somebody else may do."""


@dataclass
class Iceberg:
    """Tables of a SQL catalog on the local disk; DuckDB reads the files that the newest snapshot lists."""

    directory: Path
    conn_id: str = "iceberg_tests"

    def uri(self, name: str) -> str:
        """Return the URI of a table."""
        return f"iceberg://{self.conn_id}/lake.{name}"

    def table(self, name: str) -> Any:
        """Return a table, as pyiceberg has it."""
        from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook  # noqa: PLC0415  # half a second

        return IcebergHook(self.conn_id).catalog.load_table(f"lake.{name}")

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""
        files = [task.file.file_path.removeprefix("file://") for task in self.table(name).scan().plan_files()]
        return read_parquet(files, [field.name for field in self.table(name).schema().fields])

    def clear(self, name: str) -> None:
        """Delete the rows of a table, as somebody else may do."""
        self.table(name).delete()


@dataclass
class Delta:
    """Tables on the local disk; DuckDB reads the files that the newest version lists."""

    directory: Path

    def uri(self, name: str) -> str:
        """Return the URI of a table."""
        return f"delta://{self.directory}/{name}"

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""
        from deltalake import DeltaTable  # noqa: PLC0415  # not every test needs it

        table = DeltaTable(str(self.directory / name))
        files = [uri.removeprefix("file://") for uri in table.file_uris()]
        return read_parquet(files, [field.name for field in table.schema().fields])

    def clear(self, name: str) -> None:
        """Delete the rows of a table, as somebody else may do."""
        from deltalake import DeltaTable  # noqa: PLC0415  # as above

        DeltaTable(str(self.directory / name)).delete()


@dataclass
class DuckDb:
    """Tables in a file; Arrow reads what another connection exports."""

    path: Path

    def uri(self, name: str) -> str:
        """Return the URI of a table."""
        return f"duckdb://{self.path}?table=lake.{name}"

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""
        part = self.path.with_suffix(".parquet")
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute(f"copy lake.\"{name}\" to '{part}' (format parquet)")
        return pq.read_table(part).to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types

    def clear(self, name: str) -> None:
        """Delete the rows of a table, as somebody else may do."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute(f'delete from lake."{name}"')

    def waiting_loads(self) -> int:
        """Return how many loads wait for the lock of the directory."""
        inode = f":{self.path.parent.stat().st_ino} "
        return sum(" -> FLOCK " in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


@dataclass
class Postgres:
    """Tables of a real server; psycopg reads them, JSON as its text."""

    port: int
    database: str

    def uri(self, name: str) -> str:
        """Return the URI of a table."""
        return f"postgres://postgres_tests/lake.{name}"

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the database."""
        connection = psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres dbname={self.database}")
        connection.adapters.register_loader("json", TextLoader)
        return connection

    def waiting_loads(self) -> int:
        """Return how many loads wait for a lock."""
        with self.connect() as connection:
            ((count,),) = connection.execute("select count(*) from pg_locks where not granted")
        return int(count)

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f'select * from lake."{name}"')
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def clear(self, name: str) -> None:
        """Delete the rows of a table, as somebody else may do."""
        with self.connect() as connection:
            connection.execute(f'truncate lake."{name}"')


def read_parquet(files: list[str], columns: list[str]) -> Rows:
    """Read Parquet files by DuckDB; columns that none of them has are null."""
    if not files:
        return []
    rows = duckdb.read_parquet(files, union_by_name=True, hive_partitioning=False)
    nulls = dict.fromkeys(name for name in columns if name not in rows.columns)
    return [{**nulls, **row} for row in rows.to_arrow_table().to_pylist()]


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """The port of a PostgreSQL server."""
    with postgres_server() as port:
        yield port


@pytest.fixture
def iceberg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iceberg:
    """Iceberg tables in an empty catalog."""
    pytest.importorskip(
        "sqlalchemy", "2.0.18", reason="pyiceberg's SQL catalog needs SQLAlchemy 2: Airflow 3.1 or newer."
    )
    kind = Iceberg(tmp_path / "iceberg")
    kind.directory.mkdir()
    connection = sql_catalog(kind.directory, f"file://{kind.directory}/warehouse")
    monkeypatch.setenv(f"AIRFLOW_CONN_{kind.conn_id.upper()}", connection)
    return kind


@pytest.fixture
def delta(tmp_path: Path) -> Delta:
    """Delta tables in an empty directory."""
    return Delta(tmp_path / "delta")


@pytest.fixture
def duckdb_file(tmp_path: Path) -> DuckDb:
    """Tables in a DuckDB file that does not exist yet."""
    return DuckDb(tmp_path / "tables.duckdb")


@pytest.fixture
def postgres(postgres_port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Postgres:
    """Tables of an empty database."""
    database = f"test_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(f"host=127.0.0.1 port={postgres_port} user=postgres", autocommit=True) as server:
        server.execute(f"drop database if exists {database}")
        server.execute(f"create database {database}")
    connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": postgres_port, "login": "postgres"}
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_TESTS", json.dumps({**connection, "schema": database}))
    return Postgres(postgres_port, database)


KINDS = ("iceberg", "delta", "duckdb_file", "postgres")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of table."""
    kind: Kind = request.getfixturevalue(request.param)
    return kind


@pytest.fixture
def load() -> LoadInto:
    """Execute the load operator, as a worker does."""

    def load(exported: str | Mapping[str, Any] | list[Any], table: str, **arguments: Any) -> dict[str, Any]:
        operator = LangSmithLoadOperator(task_id="load", exported=exported, table=table, **arguments)
        context: Any = {"dag_run": SimpleNamespace(run_type="scheduled")}
        operator.render_template_fields(context)
        return operator.execute(context)

    return load


@pytest.fixture
def export_day(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport, tmp_path: Path) -> ExportDay:
    """Export a day, by default the first one, each time into a directory of its own."""
    langsmith.load_sample(start=FIRST_DAY, days=2, traces_per_day=3)
    client = client_of(langsmith)
    destinations = iter(range(1000))

    def run(day: int = 0, view: str = "runs", **options: Any) -> Exported:
        destination = f"file://{tmp_path}/exports/{next(destinations)}"
        columns = options.pop("columns", None)
        window = client, PROJECT, FIRST_DAY + day * DAY, FIRST_DAY + (day + 1) * DAY
        return export_runs(*window, view=view_of(view, columns), destination=destination, **options).summary()

    return run


@pytest.fixture
def refuse(load: LoadInto) -> Refuse:
    """Load what is refused, and return the message on one line."""

    def run(exported: Any, table: str, error: type[Exception] = AirflowFailException, **arguments: Any) -> str:
        with pytest.raises(error) as caught:
            load(exported, table, **arguments)
        assert type(caught.value) is error
        message = str(caught.value)
        assert all(len(line) <= 90 or len(line.split()) == 1 for line in message.splitlines()[1:]), message
        assert (NEVER in message) is (error is AirflowFailException)
        return " ".join(message.split())

    return run


@dataclass
class IcebergOnS3(Iceberg):
    """Tables of a SQL catalog whose warehouse is on S3; the library reads them."""

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""
        rows: Rows = self.table(name).scan().to_arrow().to_pylist()
        return rows


@dataclass
class DeltaOnS3:
    """Tables on S3; the library reads them."""

    server: S3Server
    folder: str

    def uri(self, name: str) -> str:
        """Return the URI of a table."""
        return f"delta+s3://lake@{self.folder}/{name}"

    def rows(self, name: str) -> Rows:
        """Return the rows of a table."""
        from deltalake import DeltaTable  # noqa: PLC0415  # not every test needs it

        table = DeltaTable(f"s3://{self.folder}/{name}", storage_options=self.server.delta_options())
        rows: Rows = table.to_pyarrow_table().to_pylist()
        return rows


@pytest.fixture(scope="session")
def lake() -> Iterator[S3Server]:
    """
    An S3 server with a bucket ``lake``.

    It is Ceph: deltalake holds Python's lock while it reads a table's history, and moto needs the lock to answer.
    """
    with ceph_server() as server:
        server.make_bucket("lake")
        yield server


@pytest.fixture
def iceberg_on_s3(lake: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iceberg: Iceberg) -> IcebergOnS3:
    """Iceberg tables on S3, in an empty catalog."""
    kind = IcebergOnS3(tmp_path, "iceberg_on_s3")
    connection = sql_catalog(tmp_path, f"s3://lake/{uuid4()}", lake.iceberg_properties())
    monkeypatch.setenv("AIRFLOW_CONN_ICEBERG_ON_S3", connection)
    return kind


@pytest.fixture
def delta_on_s3(lake: S3Server, monkeypatch: pytest.MonkeyPatch) -> DeltaOnS3:
    """Delta tables in an empty folder on S3."""
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", lake.airflow_connection())
    return DeltaOnS3(lake, f"lake/{uuid4()}")


@pytest.fixture(scope="session")
def loader_process() -> Iterator[Loader]:
    """A process that loads, in forks."""
    with loader() as running:
        yield running


@pytest.fixture(params=[*KINDS, *(("iceberg_on_s3", "delta_on_s3") if ROUNDS > 1 else ())])
def any_kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of table; by ``make races`` lakes also on S3."""
    kind: Kind = request.getfixturevalue(request.param)
    return kind
