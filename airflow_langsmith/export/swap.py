"""
Replacing an object only while it is the expected one: of two writers that expect the same, one succeeds.

S3, GCS and Azure check that themselves, as a condition of the write; on a local disk it is checked under a lock. For
other stores, and for those that refuse or ignore the condition, as some servers with the API of S3 do, the object is
read right before the write. Between the two another writer may slip in. So the caller has to read it afterwards, too.

``obstore`` would do the same for the three clouds. It would need the credentials of each of Airflow's connections
once more, in its own terms; the fsspec client that holds them already can do all of this.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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


def snapshot(fs: Any, path: str) -> Snapshot | None:
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


def swap(fs: Any, path: str, content: bytes, expected: Snapshot | None) -> bool:
    """
    Write an object of a store in place of the expected one, or of none.

    :return: Whether it was written. If not, another writer was quicker, or is writing now.
    """
    with fs.locked(path) if "file" in fs.protocol else nullcontext():
        if snapshot(fs, path) != expected:
            return False
        try:
            _write_if(fs, path, content, expected)
        except Exception as error:
            status = _status(error)
            if status not in _REFUSED:
                raise
            fs.invalidate_cache()
            if status == _CONFLICT or snapshot(fs, path) != expected:
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
