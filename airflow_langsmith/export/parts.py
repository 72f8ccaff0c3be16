"""Rows become local files of at most so many rows, each named by what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_langsmith.export.encoders import Encoder, Format
from airflow_langsmith.export.errors import local_disk
from airflow_langsmith.export.layout import part_name
from airflow_langsmith.export.manifest import ManifestFile
from airflow_langsmith.views import Rows, View


@dataclass(frozen=True)
class Part:
    """A finished part on the local disk, and its line in the manifest."""

    path: Path
    file: ManifestFile


class Parts:
    """
    Cuts rows into parts.

    The cut is by rows alone, so it is the same whatever pages they came in. Iterate :meth:`add` and :meth:`finish`:
    each part they give is whole, and its file yours to remove.

    :raises StorageError: where the local disk takes no more.
    """

    def __init__(self, format_: Format, view: View, directory: Path, max_rows: int) -> None:
        self._format = format_
        self._view = view
        self._directory = directory
        self._max_rows = max_rows
        self._encoder: Encoder | None = None
        self._rows = 0
        self._number = 0

    def add(self, rows: Rows) -> Iterator[Part]:
        """Write rows; give the parts that this fills."""
        start = 0
        while start < rows.count:
            end = min(rows.count, start + self._max_rows - self._rows)
            self._encode(rows.part(start, end))
            start = end
            if self._rows == self._max_rows:
                yield self._close()

    def finish(self) -> Iterator[Part]:
        """Give the last part; if there were no rows, one with none, so that readers find the schema."""
        if self._encoder is None and self._number == 0:
            self._encode(self._view.rows([]))
        if self._encoder is not None:
            yield self._close()

    def close(self) -> None:
        """Let go of the part that was begun, where an export ends before its last row."""
        if self._encoder is not None:
            with suppress(Exception):  # what ended the export is the news
                self._encoder.close()

    def _encode(self, rows: Rows) -> None:
        with self._failing():
            if self._encoder is None:
                self._encoder = self._format.open(self._local, self._view)
            self._encoder.write(rows)
        self._rows += rows.count

    def _close(self) -> Part:
        if self._encoder is None:
            raise RuntimeError("no part is open")
        with self._failing():
            self._encoder.close()
        with self._local.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        name = part_name(self._number, sha256, self._format.extension)
        part = Part(
            self._local, ManifestFile(name=name, rows=self._rows, bytes=self._local.stat().st_size, sha256=sha256)
        )
        self._encoder, self._rows, self._number = None, 0, self._number + 1
        return part

    def _failing(self) -> AbstractContextManager[None]:
        return local_disk("write a part to", self._directory, "lower max_rows_per_file")

    @property
    def _local(self) -> Path:
        return self._directory / f"{self._number:05d}"
