"""
A directory of whole objects.

An object is there entirely or not at all, also while it is replaced and when the process dies: object stores promise
that for a single upload (never for ``open("wb")``, which commits what it has when an exception passes through), and on
a local disk a rename does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar
from uuid import uuid4

from airflow_langsmith.errors import StorageAccessError, StorageError
from airflow_langsmith.export.destination import MAX_CAUSE, StoragePath, connection_id
from airflow_langsmith.export.uploads import upload
from airflow_langsmith.messages import shorten

MAX_PARALLEL_DELETES = 8  # each is a request
CHUNK_BYTES = 8 * 1024**2  # of an object that is read piece by piece; each is a request

T = TypeVar("T")

Right = Literal["write", "read", "list", "delete"]
_STANDS = "Whatever its manifest lists is still whole. "
_S3_RIGHTS: dict[Right, str] = {
    "write": "s3:PutObject",
    "read": "s3:GetObject and s3:ListBucket",  # without the second S3 refuses to say that an object is not there
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
_PASSING = ("ExpiredToken", "RequestTimeTooSkewed")  # S3 refuses these, and takes the credentials of a retry
_REFUSED = (400, 404, 409, 412, 501)  # HTTP statuses of a condition that does not hold, or that a server does not know
_CONFLICT = 409  # S3: another write of the object is under way


@dataclass(frozen=True)
class Snapshot:
    """
    An object at a moment: its content, and what differs when the same content is written again.

    ``tag`` is an ETag, a generation or an inode; None if the store has none. ``modified`` is to the second on S3.
    """

    content: bytes
    tag: str | None
    modified: datetime | None


class Store:
    """
    The objects directly below one path.

    :raises StorageError: from every method, naming what could not be done, and where.
    """

    def __init__(self, path: StoragePath) -> None:
        self._uri, self._base = str(path), path.path.rstrip("/")
        self._is_local = "file" in path.fs.protocol
        self._client = _LocalFiles() if self._is_local else path.fs

    def put(self, local: Path, name: str) -> None:
        """Upload a file."""
        with self._access("write", f"write {name} to"):
            upload(self._fs, local, self._at(name))

    def write(self, content: bytes, name: str) -> None:
        """Write an object."""
        with self._access("write", f"write {name} to"):
            self._fs.pipe_file(self._at(name), content)

    def read(self, name: str) -> bytes | None:
        """Read an object; None if there is none."""
        with self._access("read", f"read {name} from"), suppress(FileNotFoundError):
            content: bytes = self._fs.cat_file(self._at(name))
            return content
        return None

    def read_from(self, name: str, read: Callable[[BinaryIO], T]) -> T | None:
        """Return what ``read`` makes of an object that is open for reading; None if there is none."""
        with (
            self._access("read", f"read {name} from"),
            suppress(FileNotFoundError),
            self._fs.open(self._at(name), "rb") as file,
        ):
            return read(file)
        return None

    def chunks(self, name: str, size: int) -> Iterator[bytes]:
        """
        Yield an object of a known size in chunks.

        :raises FileNotFoundError: if there is none, or none any more.
        """
        for start in range(0, size, CHUNK_BYTES):
            yield self.read_range(name, start, min(start + CHUNK_BYTES, size))

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """
        Read the bytes of an object from ``start`` to before ``end``.

        :raises FileNotFoundError: if there is no such object.
        """
        with self._access("read", f"read {name} from"), suppress(FileNotFoundError):
            content: bytes = self._fs.cat_file(self._at(name), start=start, end=end)
            return content
        raise FileNotFoundError(name)

    def size(self, name: str) -> int | None:
        """Return the bytes of an object; None if there is none."""
        with self._access("read", f"read {name} from"), suppress(FileNotFoundError):
            size: int = self._fs.info(self._at(name))["size"]
            return size
        return None

    def snapshot(self, name: str) -> Snapshot | None:
        """Read an object together with what tells it from the next one in its place; None if there is none."""
        with self._access("read", f"read {name} from"):
            return _snapshot(self._fs, self._at(name))

    def swap(self, content: bytes, name: str, expected: Snapshot | None) -> bool:
        """Write an object if the expected one is in its place, or none; return whether it was written."""
        with self._access("write", f"write {name} to"):
            return _swap(self._fs, self._at(name), content, expected)

    def sizes(self) -> dict[str, int]:
        """List the objects by name, with their sizes in bytes."""
        with self._access("list", "list"), suppress(FileNotFoundError):
            entries = self._fs.ls(self._base, detail=True)
            return {entry["name"].rpartition("/")[2]: entry["size"] for entry in entries if entry["type"] == "file"}
        return {}

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is fine."""

        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                fs.rm_file(self._at(name))

        with self._access("delete", "clean up"), ThreadPoolExecutor(MAX_PARALLEL_DELETES) as threads:
            fs = self._fs
            list((map if self._is_local else threads.map)(remove, names))

    @property
    def _fs(self) -> Any:
        """The client, without its cached listings: it would go by them, though others write and delete, too."""
        self._client.invalidate_cache()
        return self._client

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

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
                f"Could not {action} {self._uri}: {cause}. {_STANDS if right in ('write', 'delete') else ''}A retry "
                "may help; if it does not, check its connection, its permissions (list, read, write, delete) and the "
                "worker's disk."
            ) from error


@contextmanager
def locked_directory(path: str) -> Iterator[None]:
    """Lock a local file's directory against others that lock it, as far as its file system knows locks."""
    directory = Path(path).parent
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class _LocalFiles:
    """A local disk as an object store, with fsspec's methods, on which a rename replaces a file."""

    protocol = ("file",)

    def put_file(self, local: str, path: str) -> None:
        with self._replacing(path) as temporary:
            shutil.copyfile(local, temporary)

    def pipe_file(self, path: str, content: bytes) -> None:
        with self._replacing(path) as temporary:
            temporary.write_bytes(content)

    def cat_file(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        with self.open(path) as file:
            file.seek(start)
            return file.read(-1 if end is None else end - start)

    def open(self, path: str, mode: Literal["rb"] = "rb") -> BinaryIO:
        return Path(path).open(mode)

    def info(self, path: str) -> dict[str, Any]:
        """Return the size, and what differs when the same content is written again."""
        status = Path(path).stat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return {"size": status.st_size, "etag": f"{status.st_ino}-{status.st_mtime_ns}", "mtime": modified}

    def ls(self, path: str, **_: Any) -> list[dict[str, Any]]:
        """List the files of a directory."""
        files = []
        with os.scandir(path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another writer removed it since
                    if entry.is_file():
                        files.append({"name": entry.path, "type": "file", "size": entry.stat().st_size})
        return files

    def rm_file(self, path: str) -> None:
        Path(path).unlink()

    def invalidate_cache(self) -> None:
        """Do nothing: no listing is cached."""

    @contextmanager
    def _replacing(self, path: str) -> Iterator[Path]:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{uuid4().hex}.tmp")
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _snapshot(fs: Any, path: str) -> Snapshot | None:
    """Read an object of a store; None if there is none. The caller has cleared the client's cache of listings."""
    try:
        content: bytes = fs.cat_file(path)
        info = fs.info(path)  # if the object is replaced in between, no later snapshot equals this one
    except FileNotFoundError:
        return None
    tag = info.get("generation") or info.get("ETag") or info.get("etag")
    times = (info.get(key) for key in ("LastModified", "last_modified", "mtime", "created"))
    at = next((time for time in times if isinstance(time, datetime)), None)
    return Snapshot(content, tag and str(tag), at and (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)))


def _swap(fs: Any, path: str, content: bytes, expected: Snapshot | None) -> bool:
    """
    Write an object in place of the expected one: of two writers that expect the same, one succeeds.

    S3, GCS and Azure check that themselves, as a condition of the write; on a local disk it is checked under a lock.
    For other stores, and for those that refuse or ignore the condition, as some servers with the API of S3 do, the
    object is read right before the write. Between the two another writer may slip in: the caller has to read it again.
    ``obstore`` would need the credentials of each of Airflow's connections once more, in its own terms.
    """
    with locked_directory(path) if "file" in fs.protocol else nullcontext():
        if _snapshot(fs, path) != expected:
            return False
        try:
            _write_if(fs, path, content, expected)
        except Exception as error:
            status = _status(error)
            if status not in _REFUSED:
                raise
            fs.invalidate_cache()
            if status == _CONFLICT or _snapshot(fs, path) != expected:
                return False
            fs.pipe_file(path, content)  # it is still the expected one: the store knows no conditions
        return True


def _write_if(fs: Any, path: str, content: bytes, expected: Snapshot | None) -> None:
    """Write under the condition that nothing has changed, as far as the client of the store can say it."""
    tag = expected and expected.tag
    if expected is not None and tag is None:
        fs.pipe_file(path, content)
    elif "s3" in fs.protocol:
        # Ceph 16 takes the tag without its quotes alone, and S3 takes both. Releases of botocore before 1.35.69 do not
        # know IfMatch, and s3fs leaves out in silence what they do not know.
        fs.pipe_file(path, content, **({"IfMatch": tag.strip('"')} if tag else {"IfNoneMatch": "*"}))
    elif "gs" in fs.protocol:
        bucket, key, _ = fs.split_path(path)
        url = fs.base.replace("/storage/v1/", "/upload/storage/v1/") + "b/{}/o"
        parameters = {"uploadType": "media", "name": key, "ifGenerationMatch": tag or "0"}
        fs.call("POST", url, bucket, **parameters, headers={"Content-Type": "application/octet-stream"}, data=content)
    elif "abfs" in fs.protocol:
        from azure.core import MatchConditions  # noqa: PLC0415  # adlfs has brought it

        condition = MatchConditions.IfNotModified if tag else MatchConditions.IfMissing
        fs.pipe_file(path, content, **({"etag": tag} if tag else {}), match_condition=condition)
    else:
        fs.pipe_file(path, content)


def _status(error: Exception) -> int | None:
    """Return the HTTP status of a client's exception, if it has one."""
    if isinstance(error, FileExistsError):  # gcsfs, and adlfs for an object that is to be new
        return 412
    answer = getattr(error.__cause__, "response", None) or {}  # S3's own
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
    status = status or getattr(error, "status_code", None) or getattr(error, "code", None)
    return int(status) if status is not None and str(status).isdecimal() else None


def _refusal(error: Exception, right: Right, uri: str) -> StorageAccessError | None:
    """Return the error for a refusal, which no retry cures; None for trouble that may pass."""
    cause = shorten(str(error), MAX_CAUSE)
    if isinstance(error, FileNotFoundError) and right == "write" and not uri.startswith("file:"):
        bucket = uri.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return StorageAccessError(f"There is no bucket {bucket!r}: {cause}. Create it, or correct {uri}.")
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return StorageAccessError(f"{uri} is read-only: {cause}. Use another destination, or mount it for writing.")
    answer = getattr(error.__cause__, "response", None) or {}  # S3's own, which says more than the exception's type
    is_forbidden = isinstance(error, OSError) and str(error).startswith("Forbidden")
    if not (is_forbidden or isinstance(error, PermissionError)) or answer.get("Error", {}).get("Code") in _PASSING:
        return None
    conn_id = connection_id(uri)
    user = f"Connection {conn_id!r}" if conn_id else "The worker"
    needs = f"the right to {right}{f' ({_S3_RIGHTS[right]})' if uri.startswith('s3') else ''}"
    return StorageAccessError(f"{user} has not {needs}: {cause}. Grant it for {uri}.")
