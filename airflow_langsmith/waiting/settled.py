"""Whether a window has come to rest: it is over, its runs have ended, and no more of them come in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

import pendulum

from airflow_langsmith.api import Run, census
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.waiting.selection import Selection
from airflow_langsmith.waiting.watch import CLOCK, Clock, Outcome, State, Watch

_NAMED = 20  # runs named in a result: enough to look at, few enough for XCom


class SettledWatch(Watch):
    """
    Waits until no selected run is pending and their number has been the same for ``quiet_for``.

    A run that has been pending for ``pending_timeout`` is given up. ``count`` is the number of runs at the last look,
    and ``since`` the moment since which it has been the same.

    The first look takes a request for the project. While the window is not over, that is all. After that a look takes
    at most three: the pending runs (one for each 1000 on v2, 100 on v1), a page of ids, and the stats if that page does
    not hold them all.
    """

    remembers = True

    def __init__(
        self,
        selection: Selection,
        *,
        quiet_for: timedelta,
        pending_timeout: timedelta | None,
        count: int | None = None,
        since: datetime | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        super().__init__(selection, clock)
        self.quiet_for = quiet_for
        self.pending_timeout = pending_timeout
        self._count = count
        self._since = since

    @classmethod
    def of(cls, selection: Selection, written: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Read it back."""
        timeout, since = written.get("pending_timeout"), written.get("since")
        return cls(
            selection,
            quiet_for=timedelta(seconds=written["quiet_for"]),
            pending_timeout=None if timeout is None else timedelta(seconds=timeout),
            count=written.get("count"),
            since=since and datetime.fromisoformat(since),
            clock=clock,
        )

    def serialize(self) -> dict[str, Any]:
        """Write it down, and since when there have been how many runs."""
        return {
            "quiet_for": self.quiet_for.total_seconds(),
            "pending_timeout": self.pending_timeout and self.pending_timeout.total_seconds(),
            "count": self._count,
            "since": self._since and self._since.isoformat(),
        }

    def look(self, backend: Backend) -> Flow[Outcome]:
        """Ask who has not ended and how many there are."""
        now = self._clock.now()
        query = yield from self.query(backend)  # also before the window closes: a wrong project fails at once
        if self.selection.left(now) > timedelta(0):
            return Outcome("waiting", f"waiting: the window closes at {self.selection.closes.isoformat()}")
        unfinished = yield from census.pending(query, backend)
        count = yield from census.count(query, backend)
        if count != self._count or self._since is None:
            self._count, self._since = count, now
        quiet = now - self._since
        given_up = [run for run in unfinished if self._is_given_up(run, now)]
        pending = [run for run in unfinished if not self._is_given_up(run, now)]
        state: State = "waiting" if pending or quiet < self.quiet_for else "met"
        figures = {
            "runs": count,
            "pending": len(pending),
            "given_up": len(given_up),
            "given_up_runs": [run.id for run in given_up[:_NAMED]],
            "quiet_seconds": int(quiet.total_seconds()),
        }
        parts = [
            f"{len(pending)} of {count} runs are pending{_oldest(pending)}",
            f"{len(given_up)} given up after {self._spelled_timeout}{_named(given_up)}" if given_up else "",
        ]
        elapsed = (
            f"run count unchanged for {int(quiet.total_seconds())} s (needs {self.quiet_for.total_seconds():.0f} s)"
        )
        return Outcome(state, f"{state}: {'; '.join(part for part in parts if part)}", figures, elapsed)

    @property
    def _spelled_timeout(self) -> str:
        return (
            pendulum.duration(seconds=self.pending_timeout.total_seconds()).in_words() if self.pending_timeout else ""
        )

    def _is_given_up(self, run: Run, now: datetime) -> bool:
        return self.pending_timeout is not None and now - run.start_time >= self.pending_timeout


def _oldest(runs: list[Run]) -> str:
    run = min(runs, key=lambda run: run.start_time, default=None)
    return f" (oldest: {run.name!r} {run.id}, started {run.start_time.isoformat()})" if run else ""


def _named(runs: list[Run]) -> str:
    more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
    return f" ({', '.join(run.id for run in runs[:_NAMED])}{more})"
