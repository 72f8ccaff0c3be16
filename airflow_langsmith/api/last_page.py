"""How a walk asks on if a full page has no cursor: it was the last by chance, or its cursor got lost."""

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
    """The runs of ``query`` that started in ``[start, end)``, without some that are known."""

    query: RunQuery
    start: datetime
    end: datetime
    without: frozenset[str] = frozenset()

    @cached_property
    def asked(self) -> RunQuery:
        """The query to ask."""
        query = self.query.within(self.start, self.end)
        return query.also(and_(*(neq("id", id_) for id_ in sorted(self.without)))) if self.without else query

    def narrower(self, runs: Sequence[Run], trail: SeenRuns) -> list[Subquery]:
        """
        Ask for what a full page of it may have left out, newest first; for the same where there is no other way.

        Sorted runs go on from the last start. If those of one moment fill a page, they are left out by their ids.
        Runs in no order are asked for in two halves of the page, until pages are not full::

            9 8 7 5 5       [.., 5]
            5 5 5 5 5       [.., 5] without these five
            7 3 9 1 5       [5, ..) and [.., 5)
        """
        starts = sorted(run.start_time for run in runs if self.start <= run.start_time < self.end)
        if not starts:
            return [self]
        if trail.is_sorted:
            without = trail.ids_at_lowest if len(trail.ids_at_lowest) >= len(runs) else ()
            return [Subquery(self.query, self.start, starts[0] + MICROSECOND, frozenset(without))]
        cut = max(starts[len(starts) // 2], self.start + MICROSECOND)
        if cut < self.end:
            return [replace(self, start=cut), replace(self, end=cut)]
        return [replace(self, without=self.without.union(run.id for run in runs))]
