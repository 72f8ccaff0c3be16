"""Waiting for feedback: a watch that ends when a condition on the feedback of the selected runs holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Self

from airflow_langsmith.api.feedback import FeedbackStats, feedback_stats_by_run, list_feedback
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.records import Feedback
from airflow_langsmith.api.runs import count_runs
from airflow_langsmith.waiting.condition import Condition
from airflow_langsmith.waiting.figures import Figures, Tally
from airflow_langsmith.waiting.parser import parse
from airflow_langsmith.waiting.selection import Selection
from airflow_langsmith.waiting.verdict import judge
from airflow_langsmith.waiting.watch import CLOCK, Clock, Outcome, Watch


class FeedbackWatch(Watch):
    """
    Waits until ``condition`` holds, or fails as soon as ``fail_when`` does.

    Before the window is complete the condition is never met, but ``fail_when`` may hold. With fewer than ``min_runs``
    runs it waits.

    A look takes one request for the number of runs (two if they are more than a page), one for each 1000 runs that have
    feedback under the condition's keys (100 on v1), and a :class:`~airflow_langsmith.api.listing.Listing` for each 50
    of these whose pieces have to be listed: several under one key, or any under a key of ``count`` or ``share``.
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
        conditions = [condition, fail_when] if fail_when else [condition]
        self.keys = frozenset[str]().union(*(each.keys for each in conditions))
        self._counted_keys = frozenset[str]().union(*(each.counted_keys for each in conditions))

    @classmethod
    def deserialize(cls, selection: Selection, state: Mapping[str, Any], clock: Clock = CLOCK) -> Self:
        """Return the watch that :meth:`serialize` wrote."""
        fail_when = state["fail_when"]
        return cls(
            selection,
            condition=parse(state["condition"], "condition"),
            fail_when=parse(fail_when, "fail_when") if fail_when else None,
            min_runs=state["min_runs"],
            clock=clock,
        )

    def serialize(self) -> dict[str, Any]:
        """Return the arguments as JSON. There is no state: each look reads all feedback."""
        fail_when = str(self.fail_when) if self.fail_when else None
        return {"condition": str(self.condition), "fail_when": fail_when, "min_runs": self.min_runs}

    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """Read the number of runs and their feedback, and judge them."""
        remaining = self.selection.remaining(self._clock.now())
        query = yield from self.query(negotiator)
        total = yield from count_runs(query, negotiator)
        stats = yield from feedback_stats_by_run(query, self.keys, negotiator)
        unclear = {run_id for run_id, by_key in stats.items() if not self._is_clear(by_key)}
        listed = yield from list_feedback(query, unclear, self.keys, negotiator)
        clear = {run_id: by_key for run_id, by_key in stats.items() if run_id not in unclear}
        figures = Figures(total, _tallies(self.keys, [*_from_stats(clear), *_from_pieces(listed)]))
        verdict = judge(self.condition, self.fail_when, figures, self.min_runs)
        measured = {"figures": verdict.figures, **figures.summary()}
        if verdict.state == "met" and remaining > timedelta(0):
            closes = self.selection.closes.isoformat()
            return Outcome("waiting", f"waiting: the window closes at {closes}; so far {verdict.line}", measured)
        return Outcome(verdict.state, verdict.line, measured)

    def _is_clear(self, stats: Mapping[str, FeedbackStats]) -> bool:
        """
        Return whether a run's stats are enough, without its pieces of feedback.

        Stats do not count a piece whose value is an object, so they are not enough for ``count`` and ``share``.
        """
        return bool(stats) and all(each.is_one_piece and key not in self._counted_keys for key, each in stats.items())


class _Piece(NamedTuple):
    """A piece of feedback."""

    run_id: str
    key: str
    score: float | None
    label: str | None


def _from_stats(stats: Mapping[str, Mapping[str, FeedbackStats]]) -> Iterable[_Piece]:
    """Yield the only piece of each run and key."""
    for run_id, by_key in stats.items():
        for key, each in by_key.items():
            score = None if each.avg is None else float(each.avg)
            yield _Piece(run_id, key, score, next((label for label, n in (each.values or {}).items() if n), None))


def _from_pieces(pieces: Iterable[Feedback]) -> Iterable[_Piece]:
    for piece in pieces:
        if piece.run_id:
            score = None if piece.score is None else float(piece.score)
            yield _Piece(piece.run_id, piece.key, score, piece.value if isinstance(piece.value, str) else None)


def _tallies(keys: Iterable[str], pieces: Iterable[_Piece]) -> dict[str, Tally]:
    by_key: dict[str, list[_Piece]] = defaultdict(list)
    for piece in pieces:
        by_key[piece.key].append(piece)
    return {
        key: Tally(
            pieces=len(by_key[key]),
            runs=len({piece.run_id for piece in by_key[key]}),
            scores=Counter(piece.score for piece in by_key[key] if piece.score is not None),
            labels=Counter(piece.label for piece in by_key[key] if piece.label is not None),
        )
        for key in keys
    }
