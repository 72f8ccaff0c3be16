"""
A directory of whole objects.

An object is there entirely or not at all, also while it is replaced and when the process dies: object stores promise
that for a single upload (never for ``open("wb")``, which commits what it has when an exception passes through), and on
a local disk a rename does.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from airflow_langsmith.errors import StorageAccessError, StorageError
from airflow_langsmith.export.destination import MAX_CAUSE, StoragePath, connection_id
from airflow_langsmith.export.layout import temporary_name
from airflow_langsmith.export.swap import Snapshot, file_snapshot, locked, snapshot, swap
from airflow_langsmith.export.uploads import upload
from airflow_langsmith.messages import shorten

MAX_PARALLEL_DELETES = 8  # each is a request

Right = Literal["write", "read", "list", "delete"]
_S3_RIGHTS: dict[Right, str] = {
    "write": "s3:PutObject",
    "read": "s3:GetObject and s3:ListBucket",  # without the second S3 refuses to say that an object is not there
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
_PASSING = ("ExpiredToken", "RequestTimeTooSkewed")  # S3 refuses these, and takes the credentials of a retry


class Store:
    """
    The objects directly below one path.

    :raises StorageError: from every method, naming what could not be done, and where.
    """

    def __init__(self, path: StoragePath) -> None:
        self._uri = str(path)
        self._objects = _LocalObjects(path) if "file" in path.fs.protocol else _RemoteObjects(path)

    def put(self, local: Path, name: str) -> None:
        """Upload a file."""
        with self._access("write", f"write {name} to"):
            self._objects.put(local, name)

    def write(self, content: bytes, name: str) -> None:
        """Write an object."""
        with self._access("write", f"write {name} to"):
            self._objects.write(content, name)

    def read(self, name: str) -> bytes | None:
        """Read an object; None if there is none."""
        with self._access("read", f"read {name} from"), suppress(FileNotFoundError):
            return self._objects.read(name)
        return None

    def snapshot(self, name: str) -> Snapshot | None:
        """Read an object together with what tells it from the next one in its place; None if there is none."""
        with self._access("read", f"read {name} from"):
            return self._objects.snapshot(name)

    def swap(self, content: bytes, name: str, expected: Snapshot | None) -> bool:
        """Write an object if the expected one is in its place, or none; return whether it was written."""
        with self._access("write", f"write {name} to"):
            return self._objects.swap(content, name, expected)

    def sizes(self) -> dict[str, int]:
        """List the objects by name, with their sizes in bytes."""
        with self._access("list", "list"), suppress(FileNotFoundError):
            return self._objects.sizes()
        return {}

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is fine."""
        with self._access("delete", "clean up"):
            self._objects.delete(names)

    @contextmanager
    def _access(self, right: Right, action: str) -> Iterator[None]:
        """Raise one error for whatever a store raises."""
        try:
            yield
        except Exception as error:
            if refusal := _refusal(error, right, self._uri):
                raise refusal from error
            cause = shorten(f"{type(error).__name__}: {error}", MAX_CAUSE)
            raise StorageError(
                f"Could not {action} {self._uri}: {cause}. Whatever its manifest lists is still whole. "
                "A retry may help; if it does not, check the destination's connection, its permissions (list, read, "
                "write, delete) and the worker's disk."
            ) from error


class _LocalObjects:
    def __init__(self, path: StoragePath) -> None:
        self._directory = Path(path.path)

    def put(self, local: Path, name: str) -> None:
        with self._replacing(name) as temporary:
            shutil.copyfile(local, temporary)

    def write(self, content: bytes, name: str) -> None:
        with self._replacing(name) as temporary:
            temporary.write_bytes(content)

    def read(self, name: str) -> bytes:
        return (self._directory / name).read_bytes()

    def snapshot(self, name: str) -> Snapshot | None:
        return file_snapshot(self._directory / name)

    def swap(self, content: bytes, name: str, expected: Snapshot | None) -> bool:
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory):
            if file_snapshot(self._directory / name) != expected:
                return False
            self.write(content, name)
        return True

    def sizes(self) -> dict[str, int]:
        sizes = {}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another writer removed it since
                    if entry.is_file():
                        sizes[entry.name] = entry.stat().st_size
        return sizes

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self._directory / name).unlink(missing_ok=True)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = self._directory / temporary_name(name)
        try:
            yield temporary
            temporary.replace(self._directory / name)
        finally:
            temporary.unlink(missing_ok=True)


class _RemoteObjects:
    def __init__(self, path: StoragePath) -> None:
        self._client = path.fs
        self._base = path.path.rstrip("/")

    @property
    def _fs(self) -> Any:
        """The client, without its cached listings: it would go by them, though others write and delete, too."""
        self._client.invalidate_cache()
        return self._client

    def put(self, local: Path, name: str) -> None:
        upload(self._fs, local, f"{self._base}/{name}")

    def write(self, content: bytes, name: str) -> None:
        self._fs.pipe_file(f"{self._base}/{name}", content)

    def read(self, name: str) -> bytes:
        content: bytes = self._fs.cat_file(f"{self._base}/{name}")
        return content

    def snapshot(self, name: str) -> Snapshot | None:
        return snapshot(self._fs, f"{self._base}/{name}")

    def swap(self, content: bytes, name: str, expected: Snapshot | None) -> bool:
        return swap(self._fs, f"{self._base}/{name}", content, expected)

    def sizes(self) -> dict[str, int]:
        entries = self._fs.ls(self._base, detail=True)
        return {entry["name"].rpartition("/")[2]: entry["size"] for entry in entries if entry["type"] == "file"}

    def delete(self, names: Iterable[str]) -> None:
        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._base}/{name}")

        with ThreadPoolExecutor(MAX_PARALLEL_DELETES) as threads:
            list(threads.map(remove, names))


def _refusal(error: Exception, right: Right, uri: str) -> StorageAccessError | None:
    """Return the error for a refusal, which no retry cures; None for trouble that may pass."""
    cause = shorten(str(error), MAX_CAUSE)
    if isinstance(error, FileNotFoundError) and right == "write" and not uri.startswith("file:"):
        bucket = uri.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return StorageAccessError(f"There is no bucket {bucket!r}: {cause}. Create it, or correct {uri}.")
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return StorageAccessError(f"{uri} is read-only: {cause}. Use another destination, or mount it for writing.")
    answer = getattr(error.__cause__, "response", None) or {}  # S3's own, which says more than the exception's type
    is_denied = isinstance(error, PermissionError) or (
        isinstance(error, OSError) and str(error).startswith("Forbidden")
    )
    if not is_denied or answer.get("Error", {}).get("Code") in _PASSING:
        return None
    conn_id = connection_id(uri)
    user = f"Connection {conn_id!r}" if conn_id else "The worker"
    needs = f"the right to {right}{f' ({_S3_RIGHTS[right]})' if uri.startswith('s3') else ''}"
    return StorageAccessError(f"{user} has not {needs} at the destination: {cause}. Grant it for {uri}.")
