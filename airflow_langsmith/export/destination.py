"""The place that a URI names, with Airflow's connections: ``s3://conn_id@bucket/key``, ``file:///directory``."""

from __future__ import annotations

import re
from typing import Any, Protocol

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.extras import STORES, pip_install
from airflow_langsmith.messages import did_you_mean, shorten

MAX_CAUSE = 300  # characters of another library's own words

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_BUCKET = re.compile(r"[\w.:$-]+")  # of any store; S3's access points have colons, one of Azure's containers is $web
_LOCAL = ("file", "local")
_SPELLING = "Write it like s3://conn_id@bucket/key or file:///directory, and install the provider of that store"


class StoragePath(Protocol):
    """What is used of Airflow's ``ObjectStoragePath``: an fsspec file system and a place in it."""

    @property
    def fs(self) -> Any:
        """The file system."""

    @property
    def path(self) -> str:
        """The place, as the file system writes it."""

    @property
    def name(self) -> str:
        """The last step."""

    @property
    def parent(self) -> StoragePath:
        """One step up."""

    def __truediv__(self, name: str) -> StoragePath: ...


def path_at(uri: str | StoragePath) -> StoragePath:
    """
    Return the place that a URI names.

    :raises ConfigurationError: if it names none, its connection is not defined, or its provider is not installed.
    """
    is_path = not isinstance(uri, str) and hasattr(uri, "fs")
    if not is_path:
        check_uri(str(uri))
    if conn_id := connection_id(str(uri)):
        from airflow_langsmith.connections import connection_of  # noqa: PLC0415  # Airflow, as below

        connection_of(conn_id, f"or correct its name in {str(uri)!r}")  # Airflow itself would use no credentials
    if not isinstance(uri, str) and is_path:
        return uri
    # The one place below the surface that knows of Airflow: its connections are what makes a URI a place.
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415

    try:
        path: StoragePath = ObjectStoragePath(str(uri))
        _ = path.fs
    except Exception as error:  # every store has errors of its own
        raise _unusable(str(uri), error) from error
    return path


def check_uri(uri: str) -> None:
    """
    Refuse a URI that names no place, as far as its text shows.

    :raises ConfigurationError: if it has no scheme or no bucket, or is relative to whatever directory a worker runs in.
    """
    scheme, _, rest = uri.partition("://")
    bucket = rest.partition("/")[0].rpartition("@")[2]
    if "://" not in uri or not _SCHEME.fullmatch(_scheme(uri)):
        raise _no_place(uri, "it has no scheme")
    if not uri.isprintable() or uri != uri.strip():
        raise _no_place(uri, "it has blanks at its ends or marks that do not show")
    if scheme.lower() in _LOCAL and (bucket or not rest):
        raise _no_place(uri, "it is no absolute path")
    if scheme.lower() not in _LOCAL and not _BUCKET.fullmatch(bucket):
        raise _no_place(uri, f"{bucket!r} is no name of a bucket" if bucket else "it names no bucket")


def connection_id(uri: str) -> str | None:
    """
    Return the connection that a URI names.

    >>> connection_id("s3://lake@traces/langsmith"), connection_id("s3://traces/user@work")
    ('lake', None)
    """
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[0] or None


def plain_uri(uri: str) -> str:
    """
    Return a URI as other programs take it: without Airflow's connection, and a local file as its path.

    >>> plain_uri("s3://lake@traces/langsmith/project=my%20shop"), plain_uri("file:///lake/project=my%20shop")
    ('s3://traces/langsmith/project=my%20shop', '/lake/project=my%20shop')
    """
    scheme, _, place = uri.partition("://")
    authority, slash, key = place.partition("/")  # a path with a scheme would be decoded: %20 is part of the name
    return f"/{key}" if scheme.lower() in _LOCAL else f"{scheme}://{authority.rpartition('@')[2]}{slash}{key}"


def _unusable(uri: str, error: Exception) -> ConfigurationError:
    """Name the cause: the store's package is missing, the scheme is misspelt, or its connection is wrong."""
    scheme, conn_id = _scheme(uri), connection_id(uri)
    remedy = f"Check connection {conn_id!r}" if conn_id else f"Name a connection: {scheme}://conn_id@bucket/key"
    # Airflow 3.0 says that none is registered for the scheme, later ones that it is not supported.
    if isinstance(error, ImportError) or re.search(r"registered for scheme|Unsupported filesystem", str(error)):
        extra, similar = STORES.get(scheme), did_you_mean(scheme, ("file", *STORES))
        remedy = f"Install what opens {scheme}: {pip_install(extra)}" if extra else f"{similar} {_SPELLING}".strip()
    return _no_place(uri, shorten(f"{error}", MAX_CAUSE), remedy)


def _scheme(uri: str) -> str:
    return uri.partition("://")[0].strip().lower()


def _no_place(uri: str, cause: str, remedy: str = _SPELLING) -> ConfigurationError:
    return ConfigurationError(f"{uri!r} is no place to write to or read from: {cause.rstrip('.')}. {remedy}.")
