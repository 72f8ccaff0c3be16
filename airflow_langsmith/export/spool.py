"""Rows kept on the local disk: until all have been seen, or until their turn comes."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from airflow_langsmith.api.dotted_order import tree_order
from airflow_langsmith.export.local_disk import local_disk
from airflow_langsmith.views import Rows

BATCH = 100  # rows given at a time


class Spool:
    """Takes rows and gives them back in the order of their trees, with memory for their dotted orders alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
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
        """
        Take rows, to be sorted by the dotted order at place ``key``, or kept in the order they come.

        :raises StorageError: where the local disk takes no more.
        """
        pickled = []
        for row in zip(*rows.columns, strict=True):
            pickled.append(pickle.dumps(row))
            self._index.append(("" if key is None else row[key] or "", self._end))
            self._end += len(pickled[-1])
        with local_disk(
            "keep rows until all are there on", self._directory, "name the paths of flatten, or leave columns out"
        ):
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


class Backlog:
    """Takes rows and gives them back in the order they came, some at a time, with memory for these."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._waiting: deque[int] = deque()
        self._end = 0

    def __len__(self) -> int:
        """How often rows can be taken."""
        return len(self._waiting)

    @property
    def size(self) -> int:
        """How many bytes it takes on the disk: those given back, too, until all are."""
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
                self._file = self._path.open("w+b", buffering=0)
            self._file.seek(self._end)
            for start in range(0, rows.count, BATCH):  # pickling a page takes several times its memory
                content = pickle.dumps(rows.part(start, min(start + BATCH, rows.count)))
                _write(self._file, content)
                self._waiting.append(self._end)
                self._end += len(content)

    def take(self) -> Rows:
        """Give back the oldest rows."""
        place = self._waiting.popleft()
        if self._file is None:
            raise RuntimeError("no rows wait")
        self._file.seek(place)
        rows: Rows = pickle.load(self._file)  # noqa: S301  # our own, of a moment ago
        if not self._waiting:
            self._file.truncate(0)
            self._end = 0
        return rows

    def close(self) -> None:
        """Remove it."""
        if self._file is not None:
            self._file.close()
            self._path.unlink()


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it: a disk that is nearly full takes the first part, and complains of the next."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
