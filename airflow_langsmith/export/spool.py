"""Rows kept on the local disk, until all have been seen."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_langsmith.views import Rows

BATCH = 100  # rows given at a time


class Spool:
    """Takes rows and gives them back sorted by a text of theirs, with memory for these texts alone."""

    def __init__(self, directory: Path) -> None:
        self._file = (directory / "spool").open("w+b")
        self._index: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        """Give the spool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its file."""
        self._file.close()

    def add(self, rows: Rows, key: int | None = None) -> None:
        """Take rows, to be sorted by the column at place ``key``, or kept in the order they come."""
        for row in zip(*rows.columns, strict=True):
            self._index.append(("" if key is None else row[key] or "", self._file.tell()))
            pickle.dump(row, self._file)

    def rows(self) -> Iterator[Rows]:
        """Give all rows back."""
        self._index.sort()
        for start in range(0, len(self._index), BATCH):
            found = []
            for _, place in self._index[start : start + BATCH]:
                self._file.seek(place)
                found.append(pickle.load(self._file))  # noqa: S301  # our own, of a moment ago
            yield Rows([list(values) for values in zip(*found, strict=True)], len(found))
