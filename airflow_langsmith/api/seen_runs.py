"""The runs that a pagination has read: which runs of a page are new, and how long no page had new ones."""

from __future__ import annotations

from datetime import datetime

from airflow_langsmith.api.ids import IdLog
from airflow_langsmith.api.records import Run

MAX_PAGES_WITHOUT_NEW_RUNS = 100  # in a row; some servers send empty pages with a cursor while they filter


class SeenRuns:
    """
    The runs that a pagination has read, newest first.

    Below the lowest start so far every run is new, and at that start the ids show which. Above it, the server repeats
    itself or does not sort: then the ids of all pages are looked up::

        page 1   9 8 7          all new
        page 2   7 6 5          new: 6 5, and 7 if it is another run of that moment
        page 3   9 8 5          new: none; from a server that does not sort, the runs not read yet

    A run that comes again at a lower start is new: LangSmith has moved it, and its first place may be read again after
    a failure, when the run is no longer there.
    """

    def __init__(self) -> None:
        self.lowest_start: datetime | None = None
        self.ids_at_lowest_start: set[str] = set()  # however many pages these runs fill
        self.is_sorted = True  # newest first; only then it is known what is left
        self.pages_without_new_runs = 0  # in a row
        self._ids = IdLog()

    def add_new(self, runs: list[Run]) -> list[Run]:
        """Add the runs of a page, and return those that are new."""
        starts, ids = [run.start_time for run in runs], [run.id for run in runs]
        lowest = self.lowest_start
        in_order = starts == sorted(starts, reverse=True)
        is_below = lowest is None or not starts or starts[0] < lowest
        new = runs if in_order and is_below and len(set(ids)) == len(ids) else self._unseen(runs)
        self.is_sorted &= in_order and (lowest is None or not new or new[0].start_time <= lowest)
        self.pages_without_new_runs = 0 if new else self.pages_without_new_runs + 1
        if new:
            last = starts[-1] if in_order else min(starts)
            if lowest is None or last < lowest:
                self.lowest_start, self.ids_at_lowest_start = last, set()
            if last == self.lowest_start:
                self.ids_at_lowest_start.update(id_ for id_, start in zip(ids, starts, strict=True) if start == last)
            self._ids.add(ids)
        return new

    def _unseen(self, runs: list[Run]) -> list[Run]:
        lowest = self.lowest_start
        above = self._ids.known([run.id for run in runs if lowest is not None and run.start_time > lowest])
        unseen: dict[tuple[str, datetime], Run] = {}
        for run in runs:
            known = above if lowest is not None and run.start_time > lowest else self.ids_at_lowest_start
            if run.id not in known or (lowest is not None and run.start_time < lowest):
                unseen.setdefault((run.id, run.start_time), run)
        return list(unseen.values())
