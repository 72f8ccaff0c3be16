"""How a pagination goes on after a full page without a cursor: it was the last by chance, or its cursor got lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.seen_runs import SeenRuns
from airflow_langsmith.filters import and_, neq

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Subquery:
    """The runs of ``whole`` that started in ``[start, end)``, except some that were read."""

    whole: RunQuery
    start: datetime
    end: datetime
    excluded_ids: frozenset[str] = frozenset()

    @cached_property
    def query(self) -> RunQuery:
        """The query to send."""
        query = self.whole.within(self.start, self.end)
        return query.also(and_(*(neq("id", id_) for id_ in sorted(self.excluded_ids)))) if self.excluded_ids else query

    def after_full_page(self, runs: Sequence[Run], seen: SeenRuns) -> list[Subquery]:
        """
        Return subqueries for what a full page may have left out, newest first; this one if there is no other way.

        Sorted runs go on from the last start. If the runs of one moment fill a page, they are excluded by their ids.
        Runs in no order are read in two halves of the page, until pages are not full::

            9 8 7 5 5       [.., 5]
            5 5 5 5 5       [.., 5] without these five
            7 3 9 1 5       [5, ..) and [.., 5)
        """
        starts = sorted(run.start_time for run in runs if self.start <= run.start_time < self.end)
        if not starts:
            return [self]
        if seen.is_sorted:
            ids = seen.ids_at_lowest_start
            excluded = frozenset(ids) if len(ids) >= len(runs) else frozenset[str]()
            return [Subquery(self.whole, self.start, starts[0] + MICROSECOND, excluded)]
        middle = max(starts[len(starts) // 2], self.start + MICROSECOND)
        if middle < self.end:
            return [replace(self, start=middle), replace(self, end=middle)]
        return [replace(self, excluded_ids=self.excluded_ids.union(run.id for run in runs))]
