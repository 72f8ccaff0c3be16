"""Airflow's connections as the libraries of tables take them. The one module of tables that knows of Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_langsmith.connections import connection_of, extra_of
from airflow_langsmith.errors import ConfigurationError, LoadError
from airflow_langsmith.export.destination import connection_id, plain_uri
from airflow_langsmith.extras import STORES, missing_package
from airflow_langsmith.tables.causes import cause_of

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from pyiceberg.catalog import Catalog

    from airflow_langsmith.airflow_sdk import Connection


def iceberg_catalog(conn_id: str) -> Catalog:
    """Return the catalog of a connection of Apache's type ``iceberg``."""
    with _provider_of("iceberg"):
        from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook  # noqa: PLC0415  # an extra

    _check_type(conn_id, "iceberg", "with the catalog's URI as its host")
    try:
        catalog: Catalog = IcebergHook(conn_id).catalog
    except ValueError as error:
        raise ConfigurationError(
            f"Connection {conn_id!r} describes no catalog: {cause_of(error)} Correct its host, and in its extra type, "
            "uri and warehouse."
        ) from error
    return catalog


def postgres_conninfo(conn_id: str) -> str:
    """Return a connection of type ``postgres`` as libpq takes it; the extra has its options, such as sslmode."""
    with _provider_of("postgres"):
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
    options = _OPTIONS[STORES[scheme]](conn_id) if conn_id else {}
    return plain_uri(place), options


def _s3_options(conn_id: str) -> dict[str, str]:
    with _provider_of("s3"):
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: PLC0415  # an extra

    _check_type(conn_id, "aws", "with the keys or the role of the store")
    hook = S3Hook(conn_id)
    credentials = _s3_credentials(hook, conn_id)
    endpoint = hook.conn_config.get_service_endpoint_url("s3") or ""
    options = {
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret_key,
        "aws_session_token": credentials.token,
        "aws_region": hook.region_name,
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true" if endpoint.startswith("http://") else None,
        "aws_allow_invalid_certificates": "true" if hook.verify is False else None,
    }
    return {name: value for name, value in options.items() if value}


def _s3_credentials(hook: S3Hook, conn_id: str) -> Any:
    """Return the keys of a connection, of the role that it assumes, or of the worker."""
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # noqa: PLC0415  # of the provider

    try:
        credentials = hook.get_session().get_credentials()
    except ClientError as error:
        raise ConfigurationError(
            f"AWS refused the keys or the role of connection {conn_id!r}: {cause_of(error)} Correct the connection, or "
            "let its user assume the role."
        ) from error
    except BotoCoreError as error:
        raise LoadError(
            f"AWS gave no keys for connection {conn_id!r}: {cause_of(error)} A retry may help; if it does not, check "
            "the connection."
        ) from error
    if credentials is None:
        raise ConfigurationError(
            f"Connection {conn_id!r} has no keys, and the worker has none of its own. Set login and password to an "
            "access key and its secret, or role_arn in the extra."
        )
    return credentials.get_frozen_credentials()


def _gcs_options(conn_id: str) -> dict[str, str]:
    connection = _check_type(conn_id, "google_cloud_platform", "with a key file in its extra")
    extra = _fields(connection, conn_id)
    if unsupported := [name for name in _GCS_UNSUPPORTED if extra.get(name)]:
        raise ConfigurationError(
            f"Connection {conn_id!r} has {unsupported[0]!r} in its extra, which Delta Lake cannot use. Give it "
            "keyfile_dict, key_path or credential_config_file, or nothing if the worker has credentials of its own."
        )
    key = extra.get("keyfile_dict")
    endpoint = extra.get("gcs.endpoint")
    options = {
        "google_service_account_key": json.dumps(key) if isinstance(key, dict) else key,
        "google_service_account": extra.get("key_path"),
        "google_application_credentials": extra.get("credential_config_file"),
        "google_skip_signature": "true" if extra.get("is_anonymous") else None,
        "google_base_url": endpoint,
        "allow_http": "true" if endpoint and endpoint.startswith("http://") else None,
    }
    return {name: value for name, value in options.items() if value}


def _azure_options(conn_id: str) -> dict[str, str]:
    connection = _check_type(conn_id, "wasb", "with the account as its login and the key as its password", "adls")
    extra = _fields(connection, conn_id)
    login, password, host = connection.login, connection.password, connection.host or ""
    if connection_string := extra.get("connection_string"):  # it overrides everything else, as in Airflow
        parts = dict(part.partition("=")[::2] for part in connection_string.split(";"))
        account, key, token = (parts.get(name) for name in ("AccountName", "AccountKey", "SharedAccessSignature"))
        endpoint = parts.get("BlobEndpoint")
        tenant = client = secret = None
    else:
        tenant = extra.get("tenant_id")
        endpoint = host if "://" in host else f"https://{host}" if "." in host else None
        account = extra.get("account_name") or _azure_account(endpoint) or host or (None if tenant else login)
        key = extra.get("account_key") or extra.get("shared_access_key") or (None if tenant else password)
        token = extra.get("sas_token")
        client = login if tenant else extra.get("managed_identity_client_id")
        secret = password if tenant else None
    if not account:
        raise ConfigurationError(
            f"Connection {conn_id!r} names no storage account. Set its host to the account's URL, like "
            "https://<account>.blob.core.windows.net, or its login to the account."
        )
    options = {
        "azure_storage_account_name": account,
        "azure_storage_account_key": key,
        "azure_storage_sas_token": token and token.rpartition("?")[2],  # Airflow takes the whole URL, too
        "azure_storage_tenant_id": tenant,
        "azure_storage_client_id": client,
        "azure_storage_client_secret": secret,
        "azure_endpoint": endpoint and endpoint.rstrip("/"),
        "allow_http": "true" if endpoint and endpoint.startswith("http://") else None,
    }
    return {name: value for name, value in options.items() if value}


def _azure_account(endpoint: str | None) -> str | None:
    """
    Return the account of its address.

    >>> _azure_account("https://lake.blob.core.windows.net/")
    'lake'
    """
    return (urlsplit(endpoint).hostname or "").partition(".")[0] if endpoint else None


_GCS_UNSUPPORTED = ("key_secret_name", "impersonation_chain", "idp_issuer_url")
_OPTIONS = {"s3": _s3_options, "gcs": _gcs_options, "azure": _azure_options}  # by the extra of the store


def _check_type(conn_id: str, conn_type: str, what: str, *others: str) -> Connection:
    connection = connection_of(conn_id, f"of type {conn_type}, {what}")
    if connection.conn_type not in (conn_type, *others):
        raise ConfigurationError(
            f"Connection {conn_id!r} is of type {connection.conn_type!r}, and the table needs one of type "
            f"{conn_type!r}. Name another connection, or correct its type."
        )
    return connection


def _fields(connection: Connection, conn_id: str) -> dict[str, Any]:
    """Return the fields of a connection's extra, by their names without the prefix of earlier releases of Airflow."""
    prefix = f"extra__{connection.conn_type}__"
    extra = extra_of(connection, conn_id)
    return {**{name.removeprefix(prefix): value for name, value in extra.items()}, **extra}


@contextmanager
def _provider_of(extra: str) -> Iterator[None]:
    """Import a provider of Airflow, and name the extra if it is not installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(missing_package(error, extra)) from error


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
