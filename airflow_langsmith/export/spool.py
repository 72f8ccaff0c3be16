"""Rows kept on the local disk: until all have been seen, or until their turn comes."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from airflow_langsmith.export.errors import local_disk
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


class Backlog:
    """Takes rows and gives them back in the order they came, some at a time, with memory for these."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._waiting: deque[tuple[int, int]] = deque()
        self._end = 0

    def __len__(self) -> int:
        """How often rows can be taken."""
        return len(self._waiting)

    @property
    def size(self) -> int:
        """How many bytes it takes on the disk, those given back too."""
        return self._end

    def add(self, rows: Rows) -> None:
        """
        Take rows.

        :raises StorageError: where the local disk takes no more.
        """
        with local_disk(
            "keep rows until their turn on", self._path.parent, "read with concurrency=1, which keeps none"
        ):
            if self._file is None:
                self._file = self._path.open("w+b")
            self._file.seek(self._end)
            for start in range(0, rows.count, BATCH):  # pickling a page takes several times its memory
                part = rows.part(start, min(start + BATCH, rows.count))
                self._waiting.append((self._file.tell(), part.count))
                pickle.dump(part.columns, self._file)
            self._file.flush()
            self._end = self._file.tell()

    def take(self) -> Rows:
        """Give back the oldest rows."""
        place, count = self._waiting.popleft()
        if self._file is None:
            raise RuntimeError("no rows wait")
        self._file.seek(place)
        return Rows(pickle.load(self._file), count)  # noqa: S301  # our own, of a moment ago

    def close(self) -> None:
        """Remove it."""
        if self._file is not None:
            self._file.close()
            self._path.unlink()
