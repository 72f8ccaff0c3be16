"""Rows on the local disk until all have been seen."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from airflow_langsmith.api.dotted_order import tree_order
from airflow_langsmith.views import Rows

BATCH = 100  # rows given at a time


class Spool:
    """Takes rows and gives them back in the order of their trees, with memory for their dotted orders alone."""

    def __init__(self, directory: Path) -> None:
        self._file = (directory / "spool").open("w+b", buffering=0)
        self._index: list[tuple[str, int]] = []
        self._end = 0

    def __enter__(self) -> Self:
        """Give the spool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its file."""
        self._file.close()

    def add(self, rows: Rows, key: int | None = None) -> None:
        """Take rows, to be sorted by the dotted order at place ``key``, or kept in the order they come."""
        pickled = []
        for row in zip(*rows.columns, strict=True):
            pickled.append(pickle.dumps(row))
            self._index.append(("" if key is None else row[key] or "", self._end))
            self._end += len(pickled[-1])
        _write(self._file, b"".join(pickled))

    def rows(self) -> Iterator[Rows]:
        """Give all rows back."""
        in_tree = tree_order(dotted_order for dotted_order, _ in self._index)
        self._index.sort(key=lambda entry: (in_tree(entry[0]), entry[1]))
        for start in range(0, len(self._index), BATCH):
            found = []
            for _, place in self._index[start : start + BATCH]:
                self._file.seek(place)
                found.append(pickle.load(self._file))  # noqa: S301  # our own, of a moment ago
            yield Rows([list(values) for values in zip(*found, strict=True)], len(found))


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it: a disk that is nearly full takes the first part, and complains of the next."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
