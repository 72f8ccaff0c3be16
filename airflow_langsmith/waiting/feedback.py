"""Waiting for feedback: a watch that ends when a condition on the feedback of the selected runs holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from airflow_langsmith.api.feedback import FeedbackStats, feedback_stats_by_run, list_feedback
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.records import Feedback
from airflow_langsmith.api.runs import count_runs
from airflow_langsmith.waiting.condition import measures
from airflow_langsmith.waiting.figures import Figures, Tally
from airflow_langsmith.waiting.parser import parse
from airflow_langsmith.waiting.verdict import Outcome, judge
from airflow_langsmith.waiting.watch import RunsWatch


@dataclass(kw_only=True, eq=False)
class FeedbackWatch(RunsWatch):
    """
    Waits until ``condition`` holds, or fails as soon as ``fail_when`` does.

    Before the window is complete the condition is never met, but ``fail_when`` may hold. With fewer than ``min_runs``
    runs it waits.

    A look takes one request for the number of runs (two if they are more than a page), one for each 1000 runs that have
    feedback under the condition's keys (100 on v1), and a :class:`~airflow_langsmith.api.listing.Listing` for each 50
    of these whose pieces have to be listed: several under one key, or any under a key of ``count`` or ``share``.
    """

    condition: str
    fail_when: str | None = None
    min_runs: int = 1

    def look(self, negotiator: VersionNegotiator) -> Flow[Outcome]:
        """Read the number of runs and their feedback, and judge them."""
        now = self.clock.now()
        condition = parse(self.condition, "condition")
        fail_when = parse(self.fail_when, "fail_when") if self.fail_when else None
        used = measures(condition, fail_when)
        keys = list(dict.fromkeys(measure.key for measure in used if measure.key))
        counted_keys = {measure.key for measure in used if measure.name in ("count", "share")}
        query = yield from self.query(negotiator)
        total = yield from count_runs(query, negotiator)
        stats = yield from feedback_stats_by_run(query, keys, negotiator)
        clear = {run_id: by_key for run_id, by_key in stats.items() if _is_clear(by_key, counted_keys)}
        listed = yield from list_feedback(query, stats.keys() - clear.keys(), keys, negotiator)
        pieces = [*_only_pieces(clear), *(piece for piece in listed if piece.run_id)]
        figures = Figures(total, {key: _tally([piece for piece in pieces if piece.key == key]) for key in keys})
        outcome = judge(condition, fail_when, figures, self.min_runs)
        outcome = replace(outcome, figures={"figures": outcome.figures, **figures.summary()})
        if outcome.state != "met" or now >= self.selection.closes:
            return outcome
        reason = f"waiting: the window closes at {self.selection.closes.isoformat()}; so far {outcome.reason}"
        return replace(outcome, state="waiting", reason=reason)


def _is_clear(stats: Mapping[str, FeedbackStats], counted_keys: set[str]) -> bool:
    """
    Return whether a run's stats are enough, without its pieces of feedback.

    Stats do not count a piece whose value is an object, so they are not enough for ``count`` and ``share``.
    """
    return bool(stats) and all(each.is_one_piece and key not in counted_keys for key, each in stats.items())


def _only_pieces(stats: Mapping[str, Mapping[str, FeedbackStats]]) -> Iterator[Feedback]:
    """Yield the only piece of each run and key."""
    for run_id, by_key in stats.items():
        for key, each in by_key.items():
            score = None if each.avg is None else float(each.avg)
            label = next((label for label, n in (each.values or {}).items() if n), None)
            yield Feedback(id="", key=key, run_id=run_id, score=score, value=label)


def _tally(pieces: list[Feedback]) -> Tally:
    return Tally(
        pieces=len(pieces),
        runs=len({piece.run_id for piece in pieces}),
        scores=Counter(float(piece.score) for piece in pieces if piece.score is not None),
        labels=Counter(piece.value for piece in pieces if isinstance(piece.value, str)),
    )
