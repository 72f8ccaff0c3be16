"""Files in the bucket of a destination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_langsmith.testing.bulk.records import Destination

__all__ = ["BucketError", "check_access", "root_of", "store"]


class BucketError(Exception):
    """The bucket cannot be written."""


def root_of(root: Any) -> Any:
    """Return the root of a bucket as a path: a string is a local folder."""
    return Path(root) if isinstance(root, str) else root


def store(destination: Destination, key: str, content: bytes) -> Any:
    """
    Write a file, and return its path.

    :raises BucketError: If that fails.
    """
    path = destination.root / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except Exception as error:  # each kind of storage has errors of its own
        raise BucketError("Access Denied") from error
    return path


def check_access(destination: Destination, name: str, *, leave: bool) -> None:
    """
    Write a file below ``tmp`` in the prefix, as the check of a destination does, and delete it unless it is to stay.

    :raises BucketError: If that fails.
    """
    path = store(destination, "/".join(filter(None, (destination.prefix, "tmp", f"{name}.txt"))), b"test")
    if not leave:
        path.unlink()
