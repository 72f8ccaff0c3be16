"""The servers of these tests keep the promises that the loads rely on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitStateUnknownException,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    OAuthError,
    TableAlreadyExistsError,
    UnauthorizedError,
    ValidationException,
)
from pyiceberg.table import Table

from tests.tables.ceph import ceph_server
from tests.tables.processes import ROUNDS
from tests.tables.servers import S3Server, moto_server, sql_catalog

pytest.importorskip("sqlalchemy", "2.0.18", reason="pyiceberg's SQL catalog needs SQLAlchemy 2: Airflow 3.1 or newer.")

from tests.tables.rest_catalog import RestCatalogServer, rest_catalog  # after the check

ROWS = pa.table({"number": [1, 2, 3]})

CatalogOf = Callable[[str], Catalog]


@pytest.fixture(scope="module", params=[moto_server, *([ceph_server] if ROUNDS > 1 else [])])
def s3(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """An S3 server with a bucket ``tables``; by ``make races`` Ceph, too."""
    with request.param() as server:
        server.make_bucket("tables")
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestCatalogServer]:
    """A REST catalog on the local disk."""
    with rest_catalog(f"file://{tmp_path}") as server:
        yield server


@pytest.fixture
def catalog(server: RestCatalogServer) -> Catalog:
    """A client of the REST catalog."""
    return load_catalog("test", type="rest", uri=server.url)


@pytest.fixture
def airflow_catalog(monkeypatch: pytest.MonkeyPatch) -> CatalogOf:
    """Make the catalog of an Airflow connection, as Airflow's hook does."""
    from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook  # noqa: PLC0415  # not every test needs it

    def make(connection: str) -> Catalog:
        monkeypatch.setenv("AIRFLOW_CONN_CATALOG", connection)
        return IcebergHook("catalog").catalog

    return make


@pytest.fixture
def numbers(catalog: Catalog) -> Table:
    """A table of three numbers in the REST catalog."""
    catalog.create_namespace("sales")
    table = catalog.create_table("sales.numbers", schema=ROWS.schema)
    table.append(ROWS)
    return table


def rows(catalog: Catalog, name: str) -> list[int]:
    """Return the numbers of a table, sorted."""
    return sorted(catalog.load_table(name).scan().to_arrow()["number"].to_pylist())


def test_a_rest_catalog_answers_as_the_protocol_has_it(catalog: Catalog, numbers: Table) -> None:
    """Namespaces and tables of a REST catalog are created, listed and dropped, and refused by the errors of the API."""
    catalog.create_namespace(("sales", "2026"))
    assert catalog.list_namespaces() == [("sales",)]
    assert catalog.list_namespaces("sales") == [("sales", "2026")]
    assert catalog.list_tables("sales") == [("sales", "numbers")]
    assert catalog.table_exists("sales.numbers")
    assert not catalog.namespace_exists("none")
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table("sales.numbers", schema=ROWS.schema)
    with pytest.raises(NoSuchNamespaceError):
        catalog.create_table("none.numbers", schema=ROWS.schema)
    with pytest.raises(NamespaceNotEmptyError):
        catalog.drop_namespace("sales")
    catalog.drop_table("sales.numbers")
    with pytest.raises(NoSuchTableError):
        catalog.load_table("sales.numbers")


def test_a_table_appears_with_its_first_rows(catalog: Catalog) -> None:
    """A transaction that creates a table shows nothing before its commit, and the second of two is refused."""
    catalog.create_namespace(("sales", "2026"))
    first = catalog.create_table_transaction("sales.2026.numbers", schema=ROWS.schema)
    second = catalog.create_table_transaction("sales.2026.numbers", schema=ROWS.schema)
    first.append(ROWS)
    assert not catalog.table_exists("sales.2026.numbers")
    first.commit_transaction()
    second.append(ROWS)
    with pytest.raises(Exception, match="Table already exists"):
        second.commit_transaction()
    assert rows(catalog, "sales.2026.numbers") == [1, 2, 3]


def test_appends_from_one_base_both_land(server: RestCatalogServer, catalog: Catalog, numbers: Table) -> None:
    """Of two appends from one base the second gets 409, is tried again and lands."""
    other = catalog.load_table("sales.numbers")
    numbers.append(ROWS)
    other.append(ROWS)
    assert rows(catalog, "sales.numbers") == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert server.conflicts == 1


def test_of_two_replacements_from_one_base_one_lands(
    server: RestCatalogServer, catalog: Catalog, numbers: Table
) -> None:
    """Of two replacements of the same rows from one base the second gets 409, and its client refuses to go on."""
    other = catalog.load_table("sales.numbers")
    numbers.overwrite(pa.table({"number": [0, 1]}), "number < 3")
    with pytest.raises(ValidationException):
        other.overwrite(pa.table({"number": [1, 2]}), "number < 3")
    assert rows(catalog, "sales.numbers") == [0, 1, 3]
    assert server.conflicts == 1


def test_concurrent_commits_lose_no_row(server: RestCatalogServer, numbers: Table) -> None:
    """Clients that commit at the same time land one after the other, whatever conflicts they had."""

    def append(number: int) -> None:
        catalog = load_catalog("test", type="rest", uri=server.url)
        catalog.load_table("sales.numbers").append(pa.table({"number": [number]}))

    with numbers.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "50", "commit.retry.min-wait-ms": "1"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(10, 22)))
    catalog = load_catalog("test", type="rest", uri=server.url)
    assert rows(catalog, "sales.numbers") == [1, 2, 3, *range(10, 22)]


def test_a_lost_answer_leaves_the_commit(server: RestCatalogServer, catalog: Catalog, numbers: Table) -> None:
    """A client whose answer is lost gets an error that leaves it open whether its rows are there."""
    server.lost_answers = 1
    with pytest.raises(CommitStateUnknownException):
        numbers.append(ROWS)
    assert rows(catalog, "sales.numbers") == [1, 1, 2, 2, 3, 3]


def test_a_rest_catalog_knows_its_clients(tmp_path: Path, airflow_catalog: CatalogOf) -> None:
    """Airflow's connection with an ID and a secret gets a token, and without them or with wrong ones it is refused."""
    with rest_catalog(f"file://{tmp_path}", credential="loader:secret") as server:
        connection = json.loads(server.airflow_connection())
        assert airflow_catalog(json.dumps(connection)).list_namespaces() == []
        with pytest.raises(OAuthError, match="invalid_client"):
            airflow_catalog(json.dumps({**connection, "password": "wrong"}))
        with pytest.raises(UnauthorizedError):
            airflow_catalog(json.dumps({**connection, "login": "", "password": ""}))


@pytest.mark.parametrize("vended", [False, True])
def test_airflow_reaches_a_rest_catalog_on_s3(s3: S3Server, vended: bool, airflow_catalog: CatalogOf) -> None:
    """The keys of the warehouse come from Airflow's connection, or with each table from the catalog."""
    keys = s3.iceberg_properties()
    with rest_catalog(f"s3://tables/{uuid4()}", keys, vended=keys if vended else None) as server:
        catalog = airflow_catalog(server.airflow_connection({} if vended else keys))
        catalog.create_namespace("sales")
        catalog.create_table("sales.numbers", schema=ROWS.schema).append(ROWS)
        assert rows(catalog, "sales.numbers") == [1, 2, 3]


def test_airflow_reaches_a_sql_catalog(s3: S3Server, tmp_path: Path, airflow_catalog: CatalogOf) -> None:
    """A SQL catalog keeps its tables on S3."""
    catalog = airflow_catalog(sql_catalog(tmp_path, f"s3://tables/{uuid4()}", s3.iceberg_properties()))
    catalog.create_namespace("sales")
    catalog.create_table("sales.numbers", schema=ROWS.schema).append(ROWS)
    assert rows(catalog, "sales.numbers") == [1, 2, 3]


def test_of_two_delta_replacements_from_one_base_one_lands(s3: S3Server) -> None:
    """Of two replacements of the same rows from one version on S3, the second is refused."""
    place, options = f"s3://tables/{uuid4()}", s3.delta_options()
    write_deltalake(place, ROWS, storage_options=options)
    first, second = DeltaTable(place, storage_options=options), DeltaTable(place, storage_options=options)
    write_deltalake(first, pa.table({"number": [0, 1]}), mode="overwrite", predicate="number < 3")
    with pytest.raises(CommitFailedError):
        write_deltalake(second, pa.table({"number": [1, 2]}), mode="overwrite", predicate="number < 3")
    table = DeltaTable(place, storage_options=options).to_pyarrow_table()
    assert sorted(table["number"].to_pylist()) == [0, 1, 3]


def test_concurrent_delta_appends_all_land(s3: S3Server) -> None:
    """Appends at the same time land one after the other, by conditional writes."""
    place, options = f"s3://tables/{uuid4()}", s3.delta_options()
    write_deltalake(place, ROWS, storage_options=options)

    def append(number: int) -> None:
        write_deltalake(place, pa.table({"number": [number]}), mode="append", storage_options=options)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(10, 22)))
    table = DeltaTable(place, storage_options=options)
    assert sorted(table.to_pyarrow_table()["number"].to_pylist()) == [1, 2, 3, *range(10, 22)]
    assert table.version() == 12
