"""
A directory of whole objects.

An object is there entirely or not at all, also while it is replaced and when the process dies: object stores promise
that for a single upload (never for ``open("wb")``, which commits what it has when an exception passes through), and on
a local disk a rename does.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

from airflow_langsmith.errors import ConfigurationError, StorageAccessError, StorageError
from airflow_langsmith.export.swap import Snapshot, locked, look, look_at_file, swap
from airflow_langsmith.export.uploads import upload
from airflow_langsmith.extras import STORES, pip_install
from airflow_langsmith.messages import did_you_mean, shorten

TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp$")  # ending of files that were never finished, on local disks
AT_ONCE = 8  # objects that are removed at a time; each is a request

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_BUCKET = re.compile(r"[\w.:$-]+")  # of any store; S3's access points have colons, one of Azure's containers is $web
_MAX_WORDS = 300  # characters of another library's own words

Right = Literal["write", "read", "list", "delete"]
_S3_RIGHTS: dict[Right, str] = {
    "write": "s3:PutObject",
    "read": "s3:GetObject and s3:ListBucket",  # without the second S3 refuses to say that an object is not there
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
_PASSING = ("ExpiredToken", "RequestTimeTooSkewed")  # S3 refuses these, and takes the next try's credentials


class StoragePath(Protocol):
    """What is asked of Airflow's ``ObjectStoragePath``: an fsspec file system and a place in it."""

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

    def __truediv__(self, name: str) -> StoragePath:
        """Go down."""


def path_at(uri: str | StoragePath) -> StoragePath:
    """
    Find a place by its URI, with Airflow's connections: ``s3://conn_id@bucket/key``, ``file:///...``.

    :raises ConfigurationError: where it is none, names a connection that is not defined, or needs a provider that is
        not installed.
    """
    if not isinstance(uri, str) and hasattr(uri, "fs"):
        _refuse_undefined(_connection_id(str(uri)), uri)
        return uri
    uri = str(uri)
    # The one place below the surface that knows of Airflow: its connections are what makes a URI a place.
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415

    check_uri(uri)
    _refuse_undefined(_connection_id(uri), uri)
    try:
        path: StoragePath = ObjectStoragePath(uri)
        _ = path.fs
    except Exception as error:  # every store has errors of its own
        raise _unopened(uri, error) from error
    return path


def _unopened(uri: str, error: Exception) -> ConfigurationError:
    """Say why a store cannot be opened: its package is missing, there is none of that name, its connection is wrong."""
    scheme = _scheme(uri)
    # Airflow 3.0 says that none is registered for the scheme, later ones that it is not supported.
    if isinstance(error, ImportError) or re.search(r"registered for scheme|Unsupported filesystem", str(error)):
        extra = STORES.get(scheme)
        meant = did_you_mean(scheme, ("file", *STORES))
        cure = f"Install what opens {scheme}: {pip_install(extra)}" if extra else f"{meant} {_SPELLING}".strip()
    else:
        conn_id = _connection_id(uri)
        cure = f"Check connection {conn_id!r}" if conn_id else f"Name a connection: {scheme}://conn_id@bucket/key"
    return _no_place(uri, shorten(f"{error}", _MAX_WORDS), cure)


def check_uri(uri: str) -> None:
    """
    Refuse what names no place, as far as its text tells.

    :raises ConfigurationError: where it has no scheme or no bucket, or is relative to the worker's directory, wherever
        that is.
    """
    _, mark, rest = uri.partition("://")
    bucket = rest.partition("/")[0].rpartition("@")[2]
    if not mark or not _SCHEME.fullmatch(_scheme(uri)):
        raise _no_place(uri, "it has no scheme", _SPELLING)
    if not uri.isprintable() or uri != uri.strip():
        raise _no_place(uri, "it has blanks at its ends or marks that do not show", _SPELLING)
    if _scheme(uri) in ("file", "local"):
        if bucket or not rest:
            raise _no_place(uri, "it is no absolute path", _SPELLING)
    elif not bucket:
        raise _no_place(uri, "it names no bucket", _SPELLING)
    elif not _BUCKET.fullmatch(bucket):
        raise _no_place(uri, f"{bucket!r} is no name of a bucket", _SPELLING)


def _scheme(uri: str) -> str:
    return uri.partition("://")[0].strip().lower()


def _no_place(uri: str, why: str, cure: str) -> ConfigurationError:
    why = why.rstrip(".")
    return ConfigurationError(f"{uri!r} is no place to write to or read from: {why}. {cure}.")


_SPELLING = "Write it like s3://conn_id@bucket/key or file:///directory, and install the provider of that store"


def _connection_id(uri: str) -> str | None:
    """
    Find the connection that a URI names.

    >>> _connection_id("s3://lake@traces/langsmith"), _connection_id("s3://traces/user@work")
    ('lake', None)
    """
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[0] or None


def _refuse_undefined(conn_id: str | None, uri: str | StoragePath) -> None:
    """Refuse a connection that is not defined: Airflow would go on without credentials, and say nothing."""
    if conn_id is not None:
        from airflow_langsmith.connections import connection_of  # noqa: PLC0415

        connection_of(conn_id, f"or correct its name in {str(uri)!r}")


class Store(Protocol):
    """The objects directly below one path."""

    def put(self, local: Path, name: str) -> None:
        """Upload a file."""

    def write(self, content: bytes, name: str) -> None:
        """Write an object."""

    def read(self, name: str) -> bytes | None:
        """Read an object; None if there is none."""

    def look(self, name: str) -> Snapshot | None:
        """Read an object together with what tells it from the next one in its place; None if there is none."""

    def swap(self, content: bytes, name: str, seen: Snapshot | None) -> bool:
        """Write an object if the one that was seen is still in its place, or none; return whether it was written."""

    def sizes(self) -> dict[str, int]:
        """List the objects by name, with their sizes in bytes."""

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is fine."""


def store_at(path: StoragePath) -> Store:
    """Open the directory at a path."""
    protocols = path.fs.protocol
    if "file" in protocols:
        return _LocalStore(path)
    return _ObjectStore(path)


class _LocalStore:
    def __init__(self, path: StoragePath) -> None:
        self._about = str(path)
        self._directory = Path(path.path)

    def put(self, local: Path, name: str) -> None:
        with _failing("write", f"write {name} to", self._about), self._replacing(name) as temporary:
            shutil.copyfile(local, temporary)

    def write(self, content: bytes, name: str) -> None:
        with _failing("write", f"write {name} to", self._about), self._replacing(name) as temporary:
            temporary.write_bytes(content)

    def read(self, name: str) -> bytes | None:
        with _failing("read", f"read {name} from", self._about):
            try:
                return (self._directory / name).read_bytes()
            except FileNotFoundError:
                return None

    def look(self, name: str) -> Snapshot | None:
        with _failing("read", f"read {name} from", self._about):
            return look_at_file(self._directory / name)

    def swap(self, content: bytes, name: str, seen: Snapshot | None) -> bool:
        with _failing("write", f"write {name} to", self._about):
            self._directory.mkdir(parents=True, exist_ok=True)
            with locked(self._directory):
                if look_at_file(self._directory / name) != seen:
                    return False
                with self._replacing(name) as temporary:
                    temporary.write_bytes(content)
            return True

    def sizes(self) -> dict[str, int]:
        found = {}
        with _failing("list", "list", self._about), suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another writer removed it since
                    if entry.is_file():
                        found[entry.name] = entry.stat().st_size
        return found

    def delete(self, names: Iterable[str]) -> None:
        with _failing("delete", "clean up", self._about):
            for name in names:
                (self._directory / name).unlink(missing_ok=True)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = self._directory / f"{name}.{uuid4().hex}.tmp"
        try:
            yield temporary
            temporary.replace(self._directory / name)
        finally:
            temporary.unlink(missing_ok=True)


class _ObjectStore:
    def __init__(self, path: StoragePath) -> None:
        self._about = str(path)
        self._client = path.fs
        self._base = path.path.rstrip("/")

    @property
    def _fs(self) -> Any:
        """The client, without its cached listings: it would go by them, though others write and delete, too."""
        self._client.invalidate_cache()
        return self._client

    def put(self, local: Path, name: str) -> None:
        with _failing("write", f"write {name} to", self._about):
            upload(self._fs, local, f"{self._base}/{name}")

    def write(self, content: bytes, name: str) -> None:
        with _failing("write", f"write {name} to", self._about):
            self._fs.pipe_file(f"{self._base}/{name}", content)

    def read(self, name: str) -> bytes | None:
        with _failing("read", f"read {name} from", self._about):
            try:
                content: bytes = self._fs.cat_file(f"{self._base}/{name}")
            except FileNotFoundError:
                return None
            return content

    def look(self, name: str) -> Snapshot | None:
        with _failing("read", f"read {name} from", self._about):
            return look(self._fs, f"{self._base}/{name}")

    def swap(self, content: bytes, name: str, seen: Snapshot | None) -> bool:
        with _failing("write", f"write {name} to", self._about):
            return swap(self._fs, f"{self._base}/{name}", content, seen)

    def sizes(self) -> dict[str, int]:
        with _failing("list", "list", self._about):
            try:
                entries = self._fs.ls(self._base, detail=True)
            except FileNotFoundError:
                return {}
            return {entry["name"].rpartition("/")[2]: entry["size"] for entry in entries if entry["type"] == "file"}

    def delete(self, names: Iterable[str]) -> None:
        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._base}/{name}")

        with _failing("delete", "clean up", self._about), ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(remove, names))


@contextmanager
def _failing(right: Right, doing: str, about: str) -> Iterator[None]:
    """Say what could not be done and where; every store has errors of its own."""
    try:
        yield
    except Exception as error:
        if refusal := _refusal(error, right, about):
            raise refusal from error
        words = shorten(f"{type(error).__name__}: {error}", _MAX_WORDS)
        raise StorageError(
            f"Could not {doing} {about}: {words}. Whatever its manifest lists is still whole. "
            "A retry may help; if it does not, check the destination's connection, its permissions (list, read, "
            "write, delete) and the worker's disk."
        ) from error


def _refusal(error: Exception, right: Right, about: str) -> StorageAccessError | None:
    """Tell a refusal, which no retry cures, from trouble that passes."""
    is_s3, words = about.startswith("s3"), shorten(str(error), _MAX_WORDS)
    if isinstance(error, FileNotFoundError) and right == "write" and not about.startswith("file:"):
        bucket = about.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return StorageAccessError(f"There is no bucket {bucket!r}: {words}. Create it, or correct {about}.")
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return StorageAccessError(f"{about} is read-only: {words}. Use another destination, or mount it for writing.")
    answer = getattr(error.__cause__, "response", None) or {}  # S3's own, which says more than the exception's type
    if not _is_denied(error) or answer.get("Error", {}).get("Code") in _PASSING:
        return None
    conn_id = _connection_id(about)
    who = f"Connection {conn_id!r}" if conn_id else "The worker"
    needs = f"the right to {right}{f' ({_S3_RIGHTS[right]})' if is_s3 else ''}"
    return StorageAccessError(f"{who} has not {needs} at the destination: {words}. Grant it for {about}.")


def _is_denied(error: Exception) -> bool:
    return isinstance(error, PermissionError) or (isinstance(error, OSError) and str(error).startswith("Forbidden"))
