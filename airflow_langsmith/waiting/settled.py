"""Waiting for a window to settle: it is over, its runs have ended, and no new ones arrive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

import pendulum

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.runs import count_runs, list_pending
from airflow_langsmith.waiting.selection import Selection
from airflow_langsmith.waiting.verdict import State
from airflow_langsmith.waiting.watch import CLOCK, Clock, Outcome, Watch

_MAX_LISTED_RUNS = 20  # in a result or a line: enough to look at, few enough for XCom


class SettledWatch(Watch):
    """
    Waits until no selected run is pending and their number has not changed for ``quiet_for``.

    A run that has been pending for ``pending_timeout`` is given up. ``count`` is the number of runs at the last look,
    ``since`` the time of the look that first counted it.

    The first look takes a request for the project. While the window is open, that is all. After that a look takes at
    most three: the pending runs (one for each 1000 on v2, 100 on v1), a page of ids, and the stats if that page does
    not hold them all.
    """

    has_state = True

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
    def deserialize(cls, selection: Selection, state: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Return the watch that :meth:`serialize` wrote."""
        timeout, since = state.get("pending_timeout"), state.get("since")
        return cls(
            selection,
            quiet_for=timedelta(seconds=state["quiet_for"]),
            pending_timeout=None if timeout is None else timedelta(seconds=timeout),
            count=state.get("count"),
            since=since and datetime.fromisoformat(since),
            clock=clock,
        )

    def serialize(self) -> dict[str, Any]:
        """Return the arguments, the last count, and since when it has not changed, as JSON."""
        return {
            "quiet_for": self.quiet_for.total_seconds(),
            "pending_timeout": self.pending_timeout and self.pending_timeout.total_seconds(),
            "count": self._count,
            "since": self._since and self._since.isoformat(),
        }

    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """List the pending runs and count all, once the window is complete."""
        now = self._clock.now()
        query = yield from self.query(negotiator)  # also while the window is open: a wrong project fails at once
        if self.selection.remaining(now) > timedelta(0):
            return Outcome("waiting", f"waiting: the window closes at {self.selection.closes.isoformat()}")
        unfinished = yield from list_pending(query, negotiator)
        count = yield from count_runs(query, negotiator)
        if count != self._count or self._since is None:
            self._count, self._since = count, now
        quiet = now - self._since
        quiet_seconds = int(quiet.total_seconds())
        given_up = [run for run in unfinished if self._is_given_up(run, now)]
        pending = [run for run in unfinished if not self._is_given_up(run, now)]
        state: State = "waiting" if pending or quiet < self.quiet_for else "met"
        figures = {
            "runs": count,
            "pending": len(pending),
            "given_up": len(given_up),
            "given_up_runs": [run.id for run in given_up[:_MAX_LISTED_RUNS]],
            "quiet_seconds": quiet_seconds,
        }
        reason = f"{state}: {len(pending)} of {count} runs are pending{_oldest(pending)}"
        if given_up and self.pending_timeout:
            timeout = pendulum.duration(seconds=self.pending_timeout.total_seconds()).in_words()
            reason += f"; {len(given_up)} given up after {timeout}{_ids(given_up)}"
        elapsed = f"run count unchanged for {quiet_seconds} s (needs {self.quiet_for.total_seconds():.0f} s)"
        return Outcome(state, reason, figures, elapsed)

    def _is_given_up(self, run: Run, now: datetime) -> bool:
        return self.pending_timeout is not None and now - run.start_time >= self.pending_timeout


def _oldest(runs: list[Run]) -> str:
    run = min(runs, key=lambda run: run.start_time, default=None)
    return f" (oldest: {run.name!r} {run.id}, started {run.start_time.isoformat()})" if run else ""


def _ids(runs: list[Run]) -> str:
    more = f" and {len(runs) - _MAX_LISTED_RUNS} more" if len(runs) > _MAX_LISTED_RUNS else ""
    return f" ({', '.join(run.id for run in runs[:_MAX_LISTED_RUNS])}{more})"
