"""How a walk asks on if a full page has no cursor: it was the last by chance, or its cursor got lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.seen_runs import Trail
from airflow_langsmith.filters import added, and_, neq

MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Question:
    """The runs of ``query`` that started in ``[start, end)``, without some that are known."""

    query: RunQuery
    start: datetime
    end: datetime
    without: frozenset[str] = frozenset()

    @cached_property
    def asked(self) -> RunQuery:
        """The query to ask."""
        others = and_(*(neq("id", id_) for id_ in sorted(self.without))) if self.without else None
        query = self.query.within(self.start, self.end)
        return query.narrowed(filter=added(others, self.query.run_filter.filter)) if others else query

    def narrower(self, runs: Sequence[Run], trail: Trail) -> list[Question]:
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
            without = trail.tied if len(trail.tied) >= len(runs) else ()
            return [Question(self.query, self.start, starts[0] + MOMENT, frozenset(without))]
        cut = max(starts[len(starts) // 2], self.start + MOMENT)
        if cut < self.end:
            return [replace(self, start=cut), replace(self, end=cut)]
        return [replace(self, without=self.without.union(run.id for run in runs))]
