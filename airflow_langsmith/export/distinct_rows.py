"""Each row once, in whatever pages or files it comes."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing

from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.views import Rows, View


class DistinctRows:
    """
    Leaves out the rows whose key came before.

    ::

        keys of the batches that come     a b | b c | a
        keys of the batches that go on    a b | c   |
    """

    def __init__(self, view: View, progress: Progress) -> None:
        self._view, self._progress = view, progress
        self._keys = IdSet()
        self._lock = threading.Lock()

    def of(self, batches: Generator[Rows]) -> Iterator[Rows]:
        """Yield the rows whose key is new, subtract the others from the progress, and count missing payloads."""
        view, progress = self._view, self._progress
        with closing(batches):
            for rows in batches:
                with self._lock:
                    places = self._keys.add(rows.keys or ())
                new = rows if rows.keys is None or len(places) == rows.count else rows.at(places)
                if view.row_is_run:
                    progress.leave_out(rows.count - new.count, sum(rows.pending or ()) - sum(new.pending or ()))
                if view.missing_payloads in view.columns:
                    names = new.columns[view.columns.index(view.missing_payloads)]
                    progress.add_missing(view.log_names(new), names)
                yield new

    def __contains__(self, key: str) -> bool:
        """Return whether a row with this key came; any thread may ask."""
        with self._lock:
            return key in self._keys
