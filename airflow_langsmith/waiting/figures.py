"""
Measures, and their figures: they come from the number of runs, and a tally of the feedback under each key.

Example::

    figures = Figures(total=50, tallies={"user_score": Tally(pieces=43, runs=42, scores={1.0: 38, 0.0: 5})})
    figures.measure(Measure("coverage", "user_score"))    # 0.84
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

BARE_KEY = r"[^\W\d][\w.-]*"


def order(left: float, right: float) -> int:
    """
    Return whether the left number is below (-1), equal to (0) or above (1) the right.

    Numbers are equal if they differ by at most a billionth of the larger one, or 1e-12: a sum of tenths is not exact.

    >>> order(0.1 + 0.2, 0.3), order(0.1 + 0.2 - 0.3, 0), order(0.3000001, 0.3)
    (0, 0, 1)
    """
    if math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12):
        return 0
    return 1 if left > right else -1


def format_number(number: float) -> str:
    """
    Return the shortest text that reads back as the number.

    >>> format_number(1.0), format_number(0.33), format_number(1e300)
    ('1', '0.33', '1e+300')
    """
    return repr(float(number) + 0.0).removesuffix(".0")  # -0.0 becomes 0.0


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
class Kind:
    """
    A kind of measure: its arguments, and the range of its figures. None means no bound.

    ``figure`` is computed from the tally of the key, the number of runs, and the value; None if it is undefined.
    """

    arguments: tuple[str, ...]
    figure: Callable[[Tally, int, float | str], float | None]
    low: int | None = None
    high: int | None = None
    is_whole: bool = False

    def orders(self, bound: float) -> frozenset[int]:
        """Return the orders that a figure of this kind can have to a number."""
        lowest = -1 if self.low is None else order(self.low, bound)
        highest = 1 if self.high is None else order(self.high, bound)
        is_fraction = order(float(round(bound)), bound) != 0
        return frozenset(range(lowest, highest + 1)) - ({0} if self.is_whole and is_fraction else set())

    def __str__(self) -> str:
        if self.is_whole:
            return "a whole number from 0 up"
        return "any number" if self.low is None else f"a number from {self.low} to {self.high}"


KINDS = {
    "count": Kind(("key",), lambda tally, *_: tally.pieces, low=0, is_whole=True),
    "runs": Kind(("key",), lambda tally, *_: tally.runs, low=0, is_whole=True),
    "coverage": Kind(("key",), lambda tally, total, _: _ratio(tally.runs, total), low=0, high=1),
    "avg": Kind(("key",), lambda tally, *_: tally.average),
    "min": Kind(("key",), lambda tally, *_: min(tally.scores, default=None)),
    "max": Kind(("key",), lambda tally, *_: max(tally.scores, default=None)),
    "share": Kind(("key", "value"), lambda tally, _, value: tally.share(value), low=0, high=1),
    "total": Kind((), lambda _, total, __: total, low=0, is_whole=True),
}


@dataclass(frozen=True)
class Measure:
    """One measure: ``share(user_score, 1)``. Its value is a score (a number) or a label (a text)."""

    name: str
    key: str = ""
    value: float | str = 0.0

    @property
    def kind(self) -> Kind:
        """What its name stands for."""
        return KINDS[self.name]

    def __str__(self) -> str:
        value = _quoted(self.value) if isinstance(self.value, str) else format_number(self.value)
        key = self.key if re.fullmatch(BARE_KEY, self.key) else _quoted(self.key)
        return f"{self.name}({', '.join((key, value)[: len(self.kind.arguments)])})"


@dataclass(frozen=True)
class Figures:
    """The number of selected runs, and their feedback by key. A key that is missing has none."""

    total: int
    tallies: Mapping[str, Tally] = field(default_factory=dict)

    def measure(self, measure: Measure) -> float | None:
        """Return the figure of a measure, or None if it is undefined. Counts are of type int."""
        return measure.kind.figure(self.tallies.get(measure.key, Tally()), self.total, measure.value)

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


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
