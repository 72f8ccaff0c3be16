"""
The figures that conditions are about: the number of runs, and a tally of the feedback under each key.

Example::

    figures = Figures(total=50, tallies={"user_score": Tally(pieces=43, runs=42, scores={1.0: 38, 0.0: 5})})
    figures.measure(Measure("coverage", "user_score"))    # 0.84
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from airflow_langsmith.waiting.condition import KINDS, Measure, order


@dataclass(frozen=True)
class Tally:
    """
    The feedback under one key: the number of its pieces, of runs that have it, and of pieces with each score and label.

    A piece may have a score, a label, both or none.
    """

    pieces: int = 0
    runs: int = 0
    scores: Mapping[float, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def average(self) -> float | None:
        """The average of all scores."""
        # Fractions are exact, and the sum of the largest scores does not overflow.
        return _ratio(sum(Fraction(score) * pieces for score, pieces in self.scores.items()), sum(self.scores.values()))

    def share(self, value: float | str) -> float | None:
        """Return the part of the pieces that have a label, or a score."""
        if isinstance(value, str):
            return _ratio(self.labels.get(value, 0), self.pieces)
        return _ratio(sum(n for score, n in self.scores.items() if order(score, value) == 0), self.pieces)


@dataclass(frozen=True)
class Figures:
    """The number of selected runs, and their feedback by key. A key that is missing has none."""

    total: int
    tallies: Mapping[str, Tally] = field(default_factory=dict)

    def measure(self, measure: Measure) -> float | None:
        """Return the figure of a measure, or None if it is undefined. Counts are of type int."""
        tally = self.tallies.get(measure.key, Tally())
        figures: dict[str, Callable[[], float | None]] = {
            "count": lambda: tally.pieces,
            "runs": lambda: tally.runs,
            "coverage": lambda: _ratio(tally.runs, self.total),
            "avg": lambda: tally.average,
            "min": lambda: min(tally.scores, default=None),
            "max": lambda: max(tally.scores, default=None),
            "share": lambda: tally.share(measure.value),
            "total": lambda: self.total,
        }
        return figures[measure.name]()

    def summary(self) -> dict[str, Any]:
        """
        Return the figures of every key as JSON, without the single values.

        >>> Figures(4, {"stars": Tally(2, 2, {5: 1, 4: 1})}).summary()["feedback"]["stars"]
        {'count': 2, 'runs': 2, 'coverage': 0.5, 'avg': 4.5, 'min': 4, 'max': 5}
        """
        names = [name for name, kind in KINDS.items() if kind.arguments == ("key",)]
        feedback = {key: {name: self.measure(Measure(name, key)) for name in names} for key in self.tallies}
        return {"total": self.total, "feedback": feedback}


def _ratio(part: float | Fraction, whole: int) -> float | None:
    return float(part / whole) if whole else None
