"""Waiting for a window to settle: it is over, its runs have ended, and no new ones arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import pendulum

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.runs import count_runs, list_pending
from airflow_langsmith.waiting.verdict import Outcome, State
from airflow_langsmith.waiting.watch import RunsWatch

_MAX_LISTED_RUNS = 20  # in a result or a line: enough to look at, few enough for XCom


@dataclass(kw_only=True, eq=False)
class SettledWatch(RunsWatch):
    """
    Waits until no selected run is pending and their number has not changed for ``quiet_for`` seconds.

    A run that has been pending for ``pending_timeout`` seconds is given up. ``count`` is the number of runs at the last
    look, ``since`` the time of the look that first counted it.

    The first look takes a request for the project. While the window is open, that is all. After that a look takes at
    most three: the pending runs (one for each 1000 on v2, 100 on v1), a page of ids, and the stats if that page does
    not hold them all.
    """

    has_state: ClassVar[bool] = True

    quiet_for: float
    pending_timeout: float | None = None
    count: int | None = None
    since: str | None = None

    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """List the pending runs and count all, once the window is complete."""
        now = self.clock.now()
        query = yield from self.query(negotiator)  # also while the window is open: a wrong project fails at once
        if now < self.selection.closes:
            return Outcome("waiting", f"waiting: the window closes at {self.selection.closes.isoformat()}")
        unfinished = yield from list_pending(query, negotiator)
        count = yield from count_runs(query, negotiator)
        if count != self.count or self.since is None:
            self.count, self.since = count, now.isoformat()
        quiet_seconds = (now - datetime.fromisoformat(self.since)).total_seconds()
        given_up = [run for run in unfinished if self._is_given_up(run, now)]
        pending = [run for run in unfinished if not self._is_given_up(run, now)]
        state: State = "waiting" if pending or quiet_seconds < self.quiet_for else "met"
        figures = {
            "runs": count,
            "pending": len(pending),
            "given_up": len(given_up),
            "given_up_runs": [run.id for run in given_up[:_MAX_LISTED_RUNS]],
            "quiet_seconds": int(quiet_seconds),
        }
        reason = f"{state}: {len(pending)} of {count} runs are pending{_oldest(pending)}"
        if given_up and self.pending_timeout:
            timeout = pendulum.duration(seconds=self.pending_timeout).in_words()
            reason += f"; {len(given_up)} given up after {timeout}{_ids(given_up)}"
        elapsed = f"run count unchanged for {int(quiet_seconds)} s (needs {self.quiet_for:.0f} s)"
        return Outcome(state, reason, figures, elapsed)

    def _is_given_up(self, run: Run, now: datetime) -> bool:
        return self.pending_timeout is not None and (now - run.start_time).total_seconds() >= self.pending_timeout


def _oldest(runs: list[Run]) -> str:
    run = min(runs, key=lambda run: run.start_time, default=None)
    return f" (oldest: {run.name!r} {run.id}, started {run.start_time.isoformat()})" if run else ""


def _ids(runs: list[Run]) -> str:
    more = f" and {len(runs) - _MAX_LISTED_RUNS} more" if len(runs) > _MAX_LISTED_RUNS else ""
    return f" ({', '.join(run.id for run in runs[:_MAX_LISTED_RUNS])}{more})"
