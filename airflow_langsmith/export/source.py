"""Where the rows of an export come from: pages of LangSmith (``pages``), or the files of a bulk export (``bulk``)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.views import Rows, View


@dataclass(frozen=True, kw_only=True)
class Reading:
    """
    What an export wants to read, and what it lends to its source for that.

    :param query: The runs, as the view has narrowed them.
    :param redact: Redacts rows, before a disk or another thread has them.
    :param progress: Counts what is read.
    :param publication: Takes attachments.
    :param path: The partition, beside which a source may keep checkpoints.
    :param directory: A directory on the local disk, for the time of the export.
    :param rows_key: All of the export that makes its rows differ from those of another one.
    :param has_pyarrow: Whether the export needs pyarrow in any case.
    """

    query: RunQuery
    view: View
    redact: Callable[[Rows], Rows]
    progress: Progress
    publication: Publication
    path: StoragePath
    directory: Path
    rows_key: tuple[Any, ...]
    has_pyarrow: bool


class RowSource(Protocol):
    """A source of rows."""

    @property
    def requests(self) -> int:
        """How many requests LangSmith has answered so far."""

    @property
    def waited_seconds(self) -> float:
        """How long the source has waited so far: for the rate limit, or before another request."""

    def open(self, reading: Reading) -> AbstractContextManager[Generator[Rows]]:
        """Begin to read. The rows come some at a time, redacted, each once, and are counted as they are read."""

    def provenance(self) -> dict[str, Any]:
        """Return the fields of a manifest that say where the rows came from, once they are read."""

    def retention(self, project: Project) -> timedelta | None:
        """Return how long the traces of a project are kept at most; None if that is not known."""
