"""Airflow's connections as the libraries of tables take them. The one module of tables that knows of Airflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow_langsmith.connections import connection_of, extra_of
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.destination import connection_id, plain_uri

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from airflow_langsmith.airflow_sdk import Connection


def iceberg_catalog(conn_id: str) -> Catalog:
    """Return the catalog of a connection of Apache's type ``iceberg``."""
    from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook  # noqa: PLC0415  # an extra

    _check_type(conn_id, "iceberg", "with the catalog's URI as its host")
    catalog: Catalog = IcebergHook(conn_id).catalog
    return catalog


def postgres_conninfo(conn_id: str) -> str:
    """Return a connection of type ``postgres`` as libpq takes it; the extra has its options, such as sslmode."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: PLC0415  # an extra

    connection = _check_type(conn_id, "postgres", "with host, login, password and the database as its schema")
    hook = PostgresHook(conn_id)
    extra = extra_of(connection, conn_id)
    if extra.get("iam", False):
        connection.login, connection.password, connection.port = hook.get_iam_token(connection)
    options = {
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
        **{name: value for name, value in extra.items() if name not in {*hook.ignored_extra_options, "cursor"}},
    }
    return " ".join(f"{name}={_quoted(value)}" for name, value in options.items() if value not in (None, ""))


def delta_store(place: str) -> tuple[str, dict[str, str]]:
    """Return the place of a Delta table without its connection, and that connection as the library takes it."""
    scheme, _, rest = place.partition("://")
    if scheme in ("file", "local"):
        return f"/{rest.lstrip('/')}", {}
    conn_id = connection_id(place)
    options = _STORES[scheme](conn_id) if conn_id else {}
    return plain_uri(place), options


def _s3_options(conn_id: str) -> dict[str, str]:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: PLC0415  # an extra

    _check_type(conn_id, "aws", "with the keys or the role of the store")
    hook = S3Hook(conn_id)
    credentials = hook.get_credentials()
    endpoint = hook.conn_config.get_service_endpoint_url("s3") or ""
    options = {
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret_key,
        "aws_session_token": credentials.token,
        "aws_region": hook.region_name,
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true" if endpoint.startswith("http://") else None,
    }
    return {name: value for name, value in options.items() if value}


_STORES: Mapping[str, Callable[[str], dict[str, str]]] = {"s3": _s3_options, "s3a": _s3_options}


def _check_type(conn_id: str, conn_type: str, what: str) -> Connection:
    connection = connection_of(conn_id, f"of type {conn_type}, {what}")
    if connection.conn_type != conn_type:
        raise ConfigurationError(
            f"Connection {conn_id!r} is of type {connection.conn_type!r}, and the table needs one of type "
            f"{conn_type!r}. Name another connection, or correct its type."
        )
    return connection


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
