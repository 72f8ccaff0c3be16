"""Parts: local files of a limited number of rows and bytes, each named by its content."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from airflow_langsmith.errors import PayloadError
from airflow_langsmith.export.encoders import Encoder, Format
from airflow_langsmith.export.layout import part_name
from airflow_langsmith.manifest import ManifestFile
from airflow_langsmith.views import ColumnType, Rows, View

NUMBER_BYTES = 8  # of a number, a time or a boolean, and of a null among them


@dataclass(frozen=True)
class Part:
    """A finished part on the local disk, and its line in the manifest."""

    path: Path
    file: ManifestFile


class Parts:
    """
    Cuts rows into parts.

    Only the rows decide where a part ends, so it is the same whatever pages they came in, and in every format. Iterate
    :meth:`add` and :meth:`finish`: each part is whole, and its file the caller's to remove.

    :param max_bytes: Of the values of a part, before they are encoded; one row that has more is a part of its own.
    """

    def __init__(self, format_: Format, view: View, directory: Path, max_rows: int, max_bytes: int) -> None:
        self._format, self._view, self._directory = format_, view, directory
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._encoder: Encoder | None = None
        self._rows = self._bytes = self._number = 0

    def add(self, rows: Rows) -> Iterator[Part]:
        """Write rows; yield the parts that this fills."""
        start = 0
        while start < rows.count:
            head, size = self._head(rows.part(start, min(rows.count, start + self._max_rows - self._rows)))
            if head.count:
                self._encode(head, size)
                start += head.count
            if self._rows == self._max_rows or not head.count:
                yield self._close()

    def finish(self) -> Iterator[Part]:
        """Yield the last part; if there were no rows, one with none, so that readers find the schema."""
        if self._encoder is None and self._number == 0:
            self._encode(self._view.rows([]), 0)
        if self._encoder is not None:
            yield self._close()

    def close(self) -> None:
        """Close the file of a part that is not finished, if an export ends before its last row."""
        if self._encoder is not None:
            with suppress(Exception):  # the error that ended the export matters more
                self._encoder.close()

    def _head(self, rows: Rows) -> tuple[Rows, int]:
        """Return the first rows and their bytes, as many as the part has room for; at least one if it is empty."""
        room, size = self._max_bytes - self._bytes, value_bytes(self._view, rows)
        if size <= room:
            return rows, size
        counts = range(1, rows.count + 1)
        count = bisect_right(counts, room, key=lambda count: value_bytes(self._view, rows.part(0, count)))
        head = rows.part(0, max(count, 0 if self._rows else 1))
        return head, value_bytes(self._view, head)

    def _encode(self, rows: Rows, size: int) -> None:
        if self._encoder is None:
            self._encoder = self._format.open(self._path, self._view)
        self._encoder.write(rows)
        self._rows += rows.count
        self._bytes += size

    def _close(self) -> Part:
        if self._encoder is None:
            raise RuntimeError("no part is open")
        self._encoder.close()
        with self._path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        name, size = part_name(self._number, sha256, self._format.extension), self._path.stat().st_size
        part = Part(self._path, ManifestFile(name=name, rows=self._rows, bytes=size, sha256=sha256))
        self._encoder, self._rows, self._bytes, self._number = None, 0, 0, self._number + 1
        return part

    @property
    def _path(self) -> Path:
        return self._directory / f"{self._number:05d}"


def value_bytes(view: View, rows: Rows) -> int:
    """
    Return the bytes of all values: texts and JSON as UTF-8, 8 for any other one.

    :raises PayloadError: if a text cannot be written as UTF-8.
    """
    total = 0
    for column, values in zip(view.columns, rows.columns, strict=True):
        try:
            total += _SIZES[column.type](values) if column.type in _SIZES else NUMBER_BYTES * len(values)
        except UnicodeEncodeError as error:
            raise PayloadError(
                f"Column {column.name!r} has a text with half an emoji in it, which UTF-8 cannot write. "
                "Correct the rule of redact that wrote it, or leave the column out."
            ) from error
    return total


def _texts_size(texts: Iterable[str | None]) -> int:
    text = "".join(filter(None, texts))
    return len(text) if text.isascii() else len(text.encode())


_SIZES: dict[ColumnType, Callable[[list[Any]], int]] = {
    "string": _texts_size,
    "json": lambda values: sum(map(len, filter(None, values))),
    "strings": lambda values: _texts_size(chain.from_iterable(filter(None, values))),
}
