"""What was measured: how many runs are selected, and a tally of the feedback under each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from airflow_langsmith.waiting.comparing import alike, exact, exact_sum
from airflow_langsmith.waiting.condition import KINDS, Measure


@dataclass(frozen=True)
class Tally:
    """
    The feedback under one key.

    ``pieces`` of it are on ``runs``. ``scores`` and ``labels`` say how many pieces have each, at least one. Of pieces
    whose single scores are not known, ``averages`` says how many have which average; that is enough for ``avg``, but
    not for ``min``, ``max`` and the ``share`` of a score. A piece may have a score, a label, both or none.
    """

    pieces: int = 0
    runs: int = 0
    scores: Mapping[float, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    averages: Mapping[float, int] = field(default_factory=dict)

    @property
    def average(self) -> Fraction | None:
        """The average of all scores."""
        weights = [*self.scores.items(), *self.averages.items()]
        return _ratio(exact_sum(weights), sum(pieces for _, pieces in weights))

    @property
    def lowest(self) -> Fraction | None:
        """The lowest score."""
        return exact(min(self.scores)) if self.scores and not self.averages else None

    @property
    def highest(self) -> Fraction | None:
        """The highest score."""
        return exact(max(self.scores)) if self.scores and not self.averages else None

    def share(self, value: float | str) -> Fraction | None:
        """Tell which part of the pieces has a label, or a score."""
        if isinstance(value, str):
            return _ratio(self.labels.get(value, 0), self.pieces)
        if self.averages:
            return None
        return _ratio(sum(n for score, n in self.scores.items() if alike(score, value)), self.pieces)


@dataclass(frozen=True)
class Figures:
    """How many runs are selected, and what feedback they have; a key that is not there has none."""

    total: int
    tallies: Mapping[str, Tally] = field(default_factory=dict)

    def measure(self, measure: Measure) -> Fraction | None:
        """Give the figure of a measure; None if it is undefined, or not to be had from averages."""
        tally = self.tallies.get(measure.key, _NONE)
        return _FORMULAS[measure.name](measure, tally, self.total)

    def summary(self) -> dict[str, Any]:
        """
        Give the figures of every key as JSON knows them, without the single values.

        >>> Figures(4, {"stars": Tally(2, 2, {5: 1, 4: 1})}).summary()["feedback"]["stars"]
        {'count': 2, 'runs': 2, 'coverage': 0.5, 'avg': 4.5, 'min': 4.0, 'max': 5.0}
        """
        return {
            "total": self.total,
            "feedback": {
                key: {measure.name: measure.plain(self.measure(measure)) for measure in _of_key(key)}
                for key in self.tallies
            },
        }


_NONE = Tally()
_FORMULAS: dict[str, Callable[[Measure, Tally, int], Fraction | None]] = {
    "count": lambda _, tally, __: Fraction(tally.pieces),
    "runs": lambda _, tally, __: Fraction(tally.runs),
    "coverage": lambda _, tally, total: _ratio(tally.runs, total),
    "avg": lambda _, tally, __: tally.average,
    "min": lambda _, tally, __: tally.lowest,
    "max": lambda _, tally, __: tally.highest,
    "share": lambda measure, tally, _: tally.share(measure.value),
    "total": lambda _, __, total: Fraction(total),
}


def _of_key(key: str) -> list[Measure]:
    return [Measure(name, key) for name, kind in KINDS.items() if kind.arguments == ("key",)]


def _ratio(part: Fraction | int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None
