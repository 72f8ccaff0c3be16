"""What can go wrong between rows and published files; leaves of the tree in ``api/errors.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from airflow_langsmith.api.errors import ConfigurationError, LangSmithError


class ExportError(LangSmithError):
    """Something went wrong on the way to the destination; the export published before stands."""

    retriable: ClassVar[bool] = True


class StorageError(ExportError):
    """The destination could not be read or written."""


class StorageAccessError(StorageError, ConfigurationError):
    """The destination refuses its user: a right is missing, there is no such bucket, the disk is read-only."""

    retriable: ClassVar[bool] = False


class ConcurrentExportError(ExportError):
    """Another export of the same partition was published, or cleaned up, at the same time."""


class EmptyWindowError(ExportError):
    """The window holds no rows, and ``on_empty="fail"``."""


class DestinationConflictError(ConfigurationError):
    """The partition holds the export of another window; to go on would lose it."""


class SchemaChangeError(ConfigurationError):
    """The columns differ from those published before, and ``schema_changes="fail"``."""


class ManifestError(ConfigurationError):
    """There is no manifest, or none that this version can read."""


class BrokenManifestError(ManifestError):
    """The file in the manifest's place is no manifest; the next export replaces it."""


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
