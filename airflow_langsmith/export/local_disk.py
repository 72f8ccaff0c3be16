"""Errors of the worker's own disk, which would look like those of a destination on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_langsmith.errors import StorageError


@contextmanager
def local_disk(action: str, directory: Path, remedy: str) -> Iterator[None]:
    """
    Name the local disk if it fails.

    :param action: What is done there: ``write a part to``.
    :param remedy: What helps beside more room: ``lower max_bytes_per_file``.
    :raises StorageError: if it fails.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Could not {action} the local {directory}: {error}. The export published before stands. A retry may help; "
            f"if it does not, give the worker more room there, set TMPDIR to a larger disk, or {remedy}."
        ) from error
