"""Rows in another order than they come in, with memory for their keys alone."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

from airflow_langsmith.views import Rows

BATCH = 100  # rows given at a time


def in_order(batches: Iterable[Rows], key: int, directory: Path) -> Iterator[Rows]:
    """Give all rows sorted by the column at place ``key``, by way of a file on the local disk."""
    index: list[tuple[str, int]] = []
    with (directory / "spool").open("w+b") as file:
        for batch in batches:
            for row in zip(*batch.columns, strict=True):
                index.append((row[key] or "", file.tell()))
                pickle.dump(row, file)
        index.sort()
        for start in range(0, len(index), BATCH):
            rows = []
            for _, place in index[start : start + BATCH]:
                file.seek(place)
                rows.append(pickle.load(file))  # noqa: S301  # our own, of a moment ago
            yield Rows([list(values) for values in zip(*rows, strict=True)], len(rows))
