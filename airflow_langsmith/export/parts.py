"""Rows become local files of at most so many rows and bytes, each named by what is in it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from airflow_langsmith.errors import PayloadError
from airflow_langsmith.export.encoders import Encoder, Format
from airflow_langsmith.export.layout import part_name
from airflow_langsmith.export.local_disk import local_disk
from airflow_langsmith.manifest import ManifestFile
from airflow_langsmith.views import ColumnType, Rows, View

NUMBER_BYTES = 8  # what a number, a time or a boolean counts, and a null among them


@dataclass(frozen=True)
class Part:
    """A finished part on the local disk, and its line in the manifest."""

    path: Path
    file: ManifestFile


class Parts:
    """
    Cuts rows into parts.

    The cut is by rows and what is in them alone, so it is the same whatever pages they came in, and in every format.
    Iterate :meth:`add` and :meth:`finish`: each part they give is whole, and its file yours to remove.

    :param max_bytes: Of the values of a part, before they are encoded; one row that has more is a part of its own.
    :raises StorageError: where the local disk takes no more.
    """

    def __init__(self, format_: Format, view: View, directory: Path, max_rows: int, max_bytes: int) -> None:
        self._format = format_
        self._view = view
        self._directory = directory
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._encoder: Encoder | None = None
        self._rows = 0
        self._bytes = 0
        self._number = 0

    def add(self, rows: Rows) -> Iterator[Part]:
        """Write rows; give the parts that this fills."""
        start = 0
        while start < rows.count:
            piece, size = self._fitting(rows.part(start, min(rows.count, start + self._max_rows - self._rows)))
            if piece.count:
                self._encode(piece, size)
                start += piece.count
            if self._rows == self._max_rows or not piece.count:
                yield self._close()

    def finish(self) -> Iterator[Part]:
        """Give the last part; if there were no rows, one with none, so that readers find the schema."""
        if self._encoder is None and self._number == 0:
            self._encode(self._view.rows([]), 0)
        if self._encoder is not None:
            yield self._close()

    def close(self) -> None:
        """Let go of the part that was begun, where an export ends before its last row."""
        if self._encoder is not None:
            with suppress(Exception):  # what ended the export is the news
                self._encoder.close()

    def _fitting(self, rows: Rows) -> tuple[Rows, int]:
        """
        Take the first rows, as many as the part has bytes left for; the first row of a part always fits.

        :return: these rows and their bytes.
        """
        left, size = self._max_bytes - self._bytes, value_bytes(self._view, rows)
        if size <= left:
            return rows, size
        count = bisect_right(
            range(1, rows.count + 1), left, key=lambda count: value_bytes(self._view, rows.part(0, count))
        )
        fitting = rows.part(0, max(count, 0 if self._rows else 1))
        return fitting, value_bytes(self._view, fitting)

    def _encode(self, rows: Rows, size: int) -> None:
        with self._failing():
            if self._encoder is None:
                self._encoder = self._format.open(self._local, self._view)
            self._encoder.write(rows)
        self._rows += rows.count
        self._bytes += size

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
        self._encoder, self._rows, self._bytes, self._number = None, 0, 0, self._number + 1
        return part

    def _failing(self) -> AbstractContextManager[None]:
        return local_disk("write a part to", self._directory, "lower max_bytes_per_file")

    @property
    def _local(self) -> Path:
        return self._directory / f"{self._number:05d}"


def value_bytes(view: View, rows: Rows) -> int:
    """
    Return the bytes of all values: texts and JSON as UTF-8, 8 for any other one.

    :raises PayloadError: if a text cannot be written as UTF-8.
    """
    total = 0
    for column, values in zip(view.columns, rows.columns, strict=True):
        try:
            total += _SIZES[column.type](values)
        except UnicodeEncodeError as error:
            raise PayloadError(
                f"Column {column.name!r} has a text with half an emoji in it, which UTF-8 cannot write. "
                "Correct the rule of redact that wrote it, or leave the column out."
            ) from error
    return total


def _numbers_size(values: list[Any]) -> int:
    return NUMBER_BYTES * len(values)


def _texts_size(texts: Iterable[str | None]) -> int:
    text = "".join(filter(None, texts))
    return len(text) if text.isascii() else len(text.encode())


_SIZES: dict[ColumnType, Callable[[list[Any]], int]] = {
    "string": _texts_size,
    "json": lambda values: sum(map(len, filter(None, values))),
    "strings": lambda values: _texts_size(chain.from_iterable(filter(None, values))),
    "boolean": _numbers_size,
    "integer": _numbers_size,
    "number": _numbers_size,
    "timestamp": _numbers_size,
}
