"""What a walk has read: which runs of a page are new, and whether pages still bring any."""

from __future__ import annotations

from datetime import datetime

from airflow_langsmith.api.ids import IdLog
from airflow_langsmith.api.records import Run

MAX_PAGES_WITHOUT_NEW_RUNS = 100  # in a row; some servers send empty pages with a cursor while they filter


class SeenRuns:
    """
    The runs that a walk has read, newest first.

    Below the lowest start so far every run is new, and at that start the ids tell. Above it, the server repeats itself
    or does not sort: then the ids of all pages are looked up::

        page 1   9 8 7          all new
        page 2   7 6 5          new: 6 5, and 7 if it is another run of that moment
        page 3   9 8 5          new: none, a barren page; from a server that does not sort, the runs not read yet

    A run that comes at a lower start than before is new: LangSmith has moved it, and its first place may be one that is
    read again after a failure, where the run is no longer.
    """

    def __init__(self) -> None:
        self.lowest: datetime | None = None  # start of all runs so far
        self.ids_at_lowest: set[str] = set()  # ids of the runs that started then, however many pages they fill
        self.is_sorted = True  # newest first; only then it is known what is left
        self.pages_without_new_runs = 0  # in a row
        self._ids = IdLog()

    def add_new(self, runs: list[Run]) -> list[Run]:
        """Add the runs of a page, and return those that are new."""
        starts, ids = [run.start_time for run in runs], [run.id for run in runs]
        lowest = self.lowest
        in_order = starts == sorted(starts, reverse=True)
        is_below = lowest is None or not starts or starts[0] < lowest
        new = runs if in_order and is_below and len(set(ids)) == len(ids) else self._unread(runs)
        self.is_sorted &= in_order and (lowest is None or not new or new[0].start_time <= lowest)
        self.pages_without_new_runs = 0 if new else self.pages_without_new_runs + 1
        if new:
            end = starts[-1] if in_order else min(starts)
            if lowest is None or end < lowest:
                self.lowest, self.ids_at_lowest = end, set()
            if end == self.lowest:
                self.ids_at_lowest.update(id_ for id_, start in zip(ids, starts, strict=True) if start == end)
            self._ids.add(ids)
        return new

    def _unread(self, runs: list[Run]) -> list[Run]:
        lowest = self.lowest
        read = self._ids.known([run.id for run in runs if lowest is not None and run.start_time > lowest])
        found: dict[tuple[str, datetime], Run] = {}
        for run in runs:
            known = read if lowest is not None and run.start_time > lowest else self.ids_at_lowest
            if run.id not in known or (lowest is not None and run.start_time < lowest):
                found.setdefault((run.id, run.start_time), run)
        return list(found.values())
