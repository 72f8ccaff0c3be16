"""Whether people have said what a condition asks for, about the runs they were to judge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_langsmith.api import Feedback, RunQuery, census
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.waiting.condition import Condition
from airflow_langsmith.waiting.figures import Figures, Tally
from airflow_langsmith.waiting.parser import parse
from airflow_langsmith.waiting.selection import Selection
from airflow_langsmith.waiting.verdict import Verdict, judge
from airflow_langsmith.waiting.watch import CLOCK, Clock, Outcome, Watch

OVERLAP = timedelta(minutes=5)  # clocks differ, and what was given a moment ago may not be found yet
ALL_AGAIN_EVERY = 10  # looks; feedback that was deleted shows in nothing that changed


class FeedbackWatch(Watch):
    """
    Waits until ``condition`` holds of the feedback on the selected runs, or fails as soon as ``fail_when`` does.

    Before the window is complete nothing is met, but it may fail. With fewer than ``min_runs`` runs it does neither.

    A look takes one request for the number of runs (two if they are more than a page), one for each 1000 runs that have
    feedback under the condition's keys (100 on v1), and a :class:`~airflow_langsmith.api.listing.Listing` for each 50
    of these whose pieces count one by one: several under one key, or any under a key of ``count`` or ``share``. On v2
    later looks ask for what changed since the last one; every tenth look, and each before it is met or failed, asks for
    all again.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        condition: Condition,
        fail_when: Condition | None = None,
        min_runs: int = 1,
        clock: Clock = CLOCK,
    ) -> None:
        super().__init__(selection, clock)
        self.condition = condition
        self.fail_when = fail_when
        self.min_runs = min_runs
        self.keys = self.condition.keys | (self.fail_when.keys if self.fail_when else frozenset())
        self._counted_keys = self.condition.counted_keys | (
            self.fail_when.counted_keys if self.fail_when else frozenset()
        )
        self._looks = 0
        self._seen: dict[str, dict[str, Tally]] = {}  # run -> key -> what it has of it
        self._asked: datetime | None = None

    @classmethod
    def of(cls, selection: Selection, written: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Read it back."""
        fail_when = written["fail_when"]
        return cls(
            selection,
            condition=parse(written["condition"], "condition"),
            fail_when=parse(fail_when, "fail_when") if fail_when else None,
            min_runs=written["min_runs"],
            clock=clock,
        )

    def serialize(self) -> dict[str, Any]:
        """Write it down; what it saw is only there to save requests."""
        fail_when = str(self.fail_when) if self.fail_when else None
        return {"condition": str(self.condition), "fail_when": fail_when, "min_runs": self.min_runs}

    def look(self, backend: Backend) -> Flow[Outcome]:
        """Ask how many runs there are and what feedback they have."""
        now = self._clock.now()
        query = yield from self.query(backend)
        total = yield from census.count(query, backend)
        since = self._asked - OVERLAP if self._asked and self._looks % ALL_AGAIN_EVERY else None
        figures, verdict = yield from self._judge(query, total, since, backend)
        if verdict.state != "waiting" and since is not None:
            figures, verdict = yield from self._judge(query, total, None, backend)
        self._asked, self._looks = now, self._looks + 1
        measured = {"figures": verdict.figures, **figures.summary()}
        if verdict.state == "met" and self.selection.left(now) > timedelta(0):
            closes = self.selection.closes.isoformat()
            return Outcome("waiting", f"waiting: the window closes at {closes}; so far {verdict.line}", measured)
        return Outcome(verdict.state, verdict.line, measured)

    def _judge(
        self, query: RunQuery, total: int, since: datetime | None, backend: Backend
    ) -> Flow[tuple[Figures, Verdict]]:
        given = yield from census.judged(query, self.keys, backend, since)
        told = {run: {key: _told(one) for key, one in keys.items()} for run, keys in given.items() if self._tell(keys)}
        unclear = given.keys() - told.keys()
        pieces = yield from census.pieces(query, unclear, self.keys, backend)
        if since is None:
            self._seen = {}
        self._seen |= told | {run: {} for run in unclear} | _listed(pieces)
        tallies = {key: _added(keys[key] for keys in self._seen.values() if key in keys) for key in self.keys}
        figures = Figures(total, tallies)
        return figures, judge(self.condition, self.fail_when, figures, self.min_runs)

    def _tell(self, stats: Mapping[str, census.Given]) -> bool:
        """
        Whether the stats of a run say all that is asked about its feedback.

        They do not count a piece whose value is an object, which matters where pieces are counted.
        """
        return bool(stats) and all(one.is_one_piece and key not in self._counted_keys for key, one in stats.items())


def _told(given: census.Given) -> Tally:
    """Make the tally of the only piece under a key from the key's stats."""
    return Tally(
        pieces=1,
        runs=1,
        scores={} if given.avg is None else {float(given.avg): 1},
        labels={label: count for label, count in (given.values or {}).items() if count},
    )


def _listed(pieces: list[Feedback]) -> dict[str, dict[str, Tally]]:
    """Tell what runs have, from every piece of it."""
    found: dict[str, dict[str, list[Feedback]]] = defaultdict(lambda: defaultdict(list))
    for piece in pieces:
        if piece.run_id:
            found[piece.run_id][piece.key].append(piece)
    return {run: {key: _tally(some) for key, some in keys.items()} for run, keys in found.items()}


def _tally(pieces: list[Feedback]) -> Tally:
    return Tally(
        pieces=len(pieces),
        runs=1,
        scores=Counter(float(piece.score) for piece in pieces if piece.score is not None),
        labels=Counter(piece.value for piece in pieces if isinstance(piece.value, str)),
    )


def _added(tallies: Iterable[Tally]) -> Tally:
    scores: Counter[float] = Counter()
    labels: Counter[str] = Counter()
    pieces = runs = 0
    for tally in tallies:
        pieces, runs = pieces + tally.pieces, runs + tally.runs
        scores.update(tally.scores)
        labels.update(tally.labels)
    return Tally(pieces, runs, scores, labels)
