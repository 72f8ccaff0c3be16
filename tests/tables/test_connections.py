"""Airflow's connections, as the libraries of tables take them; and what a wrong one says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import moto.settings as moto_settings
import psycopg
import pytest

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.tables.connections import delta_store
from tests.tables.conftest import ExportDay, Postgres, Refuse
from tests.tables.servers import S3Server, free_port, moto_server

PASSWORD = "geheim-password"

Connect = Callable[..., str]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Make a connection, and return its id."""

    def make(conn_type: str, **fields: Any) -> str:
        conn_id = f"c{uuid4().hex}"  # Airflow keeps file systems by it
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": conn_type, **fields}))
        return conn_id

    return make


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """An S3 server with a bucket ``lake``."""
    with moto_server() as server:
        server.make_bucket("lake")
        yield server


TABLES = {
    "iceberg": "iceberg://{}/lake.runs",
    "postgres": "postgres://{}/lake.runs",
    "aws": "delta+s3://{}@lake/runs",
    "google_cloud_platform": "delta+gs://{}@lake/runs",
    "wasb": "delta+abfs://{}@lake/runs",
}


@pytest.mark.parametrize(("conn_type", "table"), TABLES.items())
def test_a_connection_that_is_missing_or_of_another_type_is_named(
    conn_type: str, table: str, export_day: ExportDay, refuse: Refuse, connect: Connect
) -> None:
    """A connection that is not defined, or of another type, is refused with the type that the table needs."""
    exported = export_day()
    message = refuse(exported, table.format("nowhere"))
    assert "Connection 'nowhere' is not defined." in message
    assert f"of type {conn_type}" in message
    other = connect("http", host="example.com", password=PASSWORD)
    message = refuse(exported, table.format(other))
    assert f"is of type 'http', and the table needs one of type '{conn_type}'. Name another connection" in message
    assert PASSWORD not in message


REFUSED_BY_POSTGRES: dict[str, tuple[dict[str, Any], str]] = {
    "database": ({"schema": "nowhere"}, 'database "nowhere" does not exist. Correct the connection.'),
    "user": ({"login": "nobody"}, 'role "nobody" does not exist. Correct the connection.'),
    "password": ({"login": "locked"}, 'password authentication failed for user "locked". Correct the connection.'),
    "option": ({"extra": {"sslmod": "require"}}, 'invalid connection option "sslmod". Correct the connection.'),
    "SSL": ({"extra": {"sslmode": "require"}}, "server does not support SSL, but SSL was required."),
    "no JSON": ({"extra": "{"}, "its extra is no JSON object."),
    "rights": ({"login": "reader"}, "permission denied for schema lake. Grant its user usage and create on the schema"),
    "owner": ({"login": "writer"}, "must be owner of table runs. Grant its user"),
    "read-only": (
        {"extra": {"options": "-c default_transaction_read_only=on"}},
        "is read-only: cannot execute CREATE TABLE in a read-only transaction. Name a connection to the primary",
    ),
}


@pytest.fixture
def roles(postgres: Postgres) -> Iterator[Postgres]:
    """A database with users who may not do everything, one of whom needs a password."""
    place = f"host=127.0.0.1 port={postgres.port} user=postgres dbname={postgres.database}"
    with psycopg.connect(place, autocommit=True) as connection:
        ((path,),) = connection.execute("show hba_file").fetchall()
        hba = Path(path).read_text()
        Path(path).write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{hba}")
        connection.execute("create role locked login password 'other'; create role reader login")
        connection.execute("create role writer login; create schema lake; select pg_reload_conf()")
        connection.execute("create table lake.runs (run_id text); grant usage on schema lake to writer")
        yield postgres
        connection.execute("drop schema lake cascade; drop role locked, reader, writer")
        Path(path).write_text(hba)


def test_what_postgres_refuses_is_named(
    roles: Postgres, export_day: ExportDay, refuse: Refuse, connect: Connect
) -> None:
    """The message has PostgreSQL's reason to refuse a user, but no password and no statement; nothing changes."""
    exported = export_day()
    base = {"host": "127.0.0.1", "port": roles.port, "login": "postgres", "schema": roles.database}
    for name, (fields, text) in REFUSED_BY_POSTGRES.items():
        table = "new" if name == "read-only" else "runs"
        conn_id = connect("postgres", password=PASSWORD, **{**base, **fields})
        message = refuse(exported, f"postgres://{conn_id}/lake.{table}")
        assert text in message, name
        assert conn_id in message
        assert not any(word in message for word in (PASSWORD, "select", "comment on", "Query was"))
    assert roles.rows("runs") == []
    with roles.connect() as connection:
        assert connection.execute("select count(*) from pg_tables where schemaname = 'lake'").fetchone() == (1,)


NO_CATALOGS: dict[str, tuple[dict[str, Any], str]] = {
    "no host": ({}, "describes no catalog: URI missing"),
    "no scheme": ({"host": "catalog"}, "describes no catalog: Invalid URL"),
    "type": ({"extra": {"type": "rset"}}, "describes no catalog: 'rset' is not a valid CatalogType. Correct its host"),
    "package": ({"extra": {"type": "hive", "uri": "thrift://catalog"}}, "pip install 'pyiceberg[hive]'"),
    "driver": ({"extra": {"type": "sql", "uri": "postgresql+psycopg9://u:geheim@h/d"}}, "Can't load plugin"),
    "directory": ({"extra": {"type": "sql", "uri": "sqlite:////nowhere/c.db"}}, "unable to open database file"),
    "warehouse": ({"extra": {"type": "sql", "uri": "sqlite:///:memory:"}}, "No default path is set"),
}


@pytest.mark.parametrize(("fields", "text"), NO_CATALOGS.values(), ids=NO_CATALOGS)
def test_a_connection_that_describes_no_catalog_is_refused(
    fields: dict[str, Any], text: str, export_day: ExportDay, refuse: Refuse, connect: Connect
) -> None:
    """What pyiceberg makes no catalog of is refused for good, with the connection and what is wrong in it."""
    conn_id = connect("iceberg", **{"login": "", "password": PASSWORD, **fields})
    message = refuse(export_day(), f"iceberg://{conn_id}/lake.runs")
    assert f"Connection '{conn_id}' " in message
    assert text in message
    assert "geheim" not in message


def test_a_rest_catalog_that_refuses_is_named(
    tmp_path: Path, export_day: ExportDay, refuse: Refuse, connect: Connect
) -> None:
    """A catalog refuses a wrong secret, no login and a wrong path for good, and the message shows no secret."""
    from tests.tables.rest_catalog import rest_catalog  # noqa: PLC0415  # needs SQLAlchemy 2

    exported = export_day()
    with rest_catalog(f"file://{tmp_path}/warehouse", credential="loader:secret") as server:
        connection = json.loads(server.airflow_connection())
        for fields, text in (
            ({"password": PASSWORD}, "invalid_client"),
            ({"login": "", "password": ""}, "The token is missing or unknown."),
            ({"host": f"{server.url}/nowhere"}, "No such endpoint"),
        ):
            conn_id = connect(**{**connection, **fields})
            message = refuse(exported, f"iceberg://{conn_id}/lake.runs")
            assert f"Connection '{conn_id}' " in message
            assert text in message
            assert "orrect " in message
            assert PASSWORD not in message
    assert not (tmp_path / "warehouse").exists()


def test_a_server_that_is_not_there_may_come_back(export_day: ExportDay, refuse: Refuse, connect: Connect) -> None:
    """A server that does not answer fails the task for a retry, and names the connection."""
    exported, port = export_day(), free_port()
    servers: dict[str, dict[str, Any]] = {
        "postgres": {"host": "127.0.0.1", "port": port, "login": "loader", "password": PASSWORD},
        "iceberg": {"host": f"http://127.0.0.1:{port}", "login": "", "password": PASSWORD},
        "aws": {"login": "key", "password": PASSWORD, "extra": {"endpoint_url": f"http://127.0.0.1:{port}"}},
    }
    for conn_type, fields in servers.items():
        conn_id = connect(conn_type, **fields)
        message = refuse(exported, TABLES[conn_type].format(conn_id), LangSmithException)
        assert f"A retry may help; if it does not, check connection '{conn_id}'." in message
        assert PASSWORD not in message


def test_a_bucket_that_is_not_there_is_named(
    s3: S3Server, export_day: ExportDay, refuse: Refuse, connect: Connect
) -> None:
    """A missing bucket is refused for good, in the store's own words."""
    connection = json.loads(s3.airflow_connection())
    message = refuse(export_day(), f"delta+s3://{connect(**connection)}@nowhere/runs")
    assert "There is no place for a table at" in message
    assert "NoSuchBucket: The specified bucket does not exist. Make the bucket, or correct the URI." in message


def test_keys_that_a_store_refuses_are_named(
    s3: S3Server, export_day: ExportDay, refuse: Refuse, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that S3 does not know, and a connection without any, are refused for good, without showing them."""
    exported, connection = export_day(), json.loads(s3.airflow_connection())
    wrong = connect(**{**connection, "login": "wrong-key", "password": PASSWORD})
    monkeypatch.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    message = refuse(exported, f"delta+s3://{wrong}@lake/runs")
    assert f"Connection '{wrong}' may not read and write delta+s3://{wrong}@lake/runs: InvalidAccessKeyId" in message
    assert "Correct its keys, or grant it list, read and write." in message
    assert PASSWORD not in message
    without = connect(**{**connection, "login": "", "password": ""})
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert f"Connection '{without}' has no keys" in refuse(exported, f"delta+s3://{without}@lake/runs")


ROLE = "arn:aws:iam::123456789012:role/loader"


def test_delta_gets_the_keys_of_a_role(s3: S3Server, connect: Connect) -> None:
    """A role is assumed by Airflow's own hook, and its keys come with their token."""
    connection = json.loads(s3.airflow_connection())
    place, options = delta_store(f"s3://{connect(**connection)}@lake/runs")
    assert place == "s3://lake/runs"
    assert options == {
        "aws_access_key_id": "access-key",
        "aws_secret_access_key": "secret-key",
        "aws_region": "us-east-1",
        "aws_endpoint_url": s3.endpoint_url,
        "aws_allow_http": "true",
    }
    connection["extra"] |= {
        "role_arn": ROLE,
        "verify": False,
        "service_config": {"sts": {"endpoint_url": s3.endpoint_url}},
    }
    _, options = delta_store(f"s3://{connect(**connection)}@lake/runs")
    assert options["aws_access_key_id"] != "access-key"
    assert options["aws_session_token"]
    assert options["aws_allow_invalid_certificates"] == "true"


KEY = {"type": "service_account", "private_key": "geheim"}
GCS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {}),
    ({"keyfile_dict": KEY}, {"google_service_account_key": json.dumps(KEY)}),
    ({"keyfile_dict": json.dumps(KEY)}, {"google_service_account_key": json.dumps(KEY)}),
    ({"extra__google_cloud_platform__key_path": "/key.json"}, {"google_service_account": "/key.json"}),
    ({"credential_config_file": "/adc.json"}, {"google_application_credentials": "/adc.json"}),
    (
        {"is_anonymous": True, "gcs.endpoint": "http://127.0.0.1:1"},
        {"google_skip_signature": "true", "google_base_url": "http://127.0.0.1:1", "allow_http": "true"},
    ),
]


@pytest.mark.parametrize(("extra", "expected"), GCS)
def test_delta_gets_the_key_of_a_google_connection(
    extra: dict[str, Any], expected: dict[str, str], connect: Connect
) -> None:
    """Each form of a key in a Google connection has its option; without one the worker's own credentials apply."""
    conn_id = connect("google_cloud_platform", extra=extra)
    assert delta_store(f"gs://{conn_id}@lake/runs") == ("gs://lake/runs", expected)


def test_credentials_that_delta_cannot_use_are_refused(connect: Connect) -> None:
    """A Google connection that impersonates an account, and an Azure one without an account, are refused."""
    google = connect("google_cloud_platform", extra={"impersonation_chain": "loader@example.com"})
    with pytest.raises(ConfigurationError, match="'impersonation_chain' in its"):
        delta_store(f"gs://{google}@lake/runs")
    azure = connect("wasb", password=PASSWORD, extra={"tenant_id": "tenant"}, login="client")
    with pytest.raises(ConfigurationError, match="names no storage") as caught:
        delta_store(f"abfs://{azure}@lake/runs")
    assert PASSWORD not in str(caught.value)


NAME, SECRET = "azure_storage_account_name", "azure_storage_account_key"
URL = "https://lake.blob.core.windows.net"
AZURE: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"login": "lake", "password": "a2V5"}, {NAME: "lake", SECRET: "a2V5"}),
    ({"host": f"{URL}/", "extra": {"sas_token": "?sig=x"}}, {NAME: "lake", "azure_storage_sas_token": "sig=x"}),
    (
        {"host": URL, "login": "client", "password": "secret", "extra": {"tenant_id": "tenant"}},
        {
            NAME: "lake",
            "azure_storage_tenant_id": "tenant",
            "azure_storage_client_id": "client",
            "azure_storage_client_secret": "secret",
        },
    ),
    ({"host": "lake", "extra": {"extra__wasb__shared_access_key": "a2V5"}}, {NAME: "lake", SECRET: "a2V5"}),
    (
        {"extra": {"connection_string": "AccountName=lake;AccountKey=a2V5==;BlobEndpoint=http://127.0.0.1:1/lake;"}},
        {NAME: "lake", SECRET: "a2V5==", "azure_endpoint": "http://127.0.0.1:1/lake", "allow_http": "true"},
    ),
]


@pytest.mark.parametrize(("fields", "expected"), AZURE)
def test_delta_gets_the_account_of_an_azure_connection(
    fields: dict[str, Any], expected: dict[str, str], connect: Connect
) -> None:
    """A key, a token, a service principal and a connection string have their options, and each names the account."""
    place, options = delta_store(f"abfs://{connect('wasb', **fields)}@lake/runs")
    if "host" in fields and "://" in fields["host"]:
        assert options.pop("azure_endpoint") == URL
    assert (place, options) == ("abfs://lake/runs", expected)
