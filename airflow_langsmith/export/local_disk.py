"""Errors of the worker's own disk, which look like those of a destination on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_langsmith.errors import StorageError


@contextmanager
def local_disk(doing: str, directory: Path, instead: str) -> Iterator[None]:
    """
    Say which disk it was that failed: the destination's own errors look the same.

    :param doing: What is done there: ``write a part to``.
    :param instead: What may be done against it, beside more room: ``lower max_bytes_per_file``.
    :raises StorageError: where the local disk takes no more.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Could not {doing} the local {directory}: {error}. The export published before stands. A retry may help; "
            f"if it does not, give the worker more room there, set TMPDIR to a larger disk, or {instead}."
        ) from error
