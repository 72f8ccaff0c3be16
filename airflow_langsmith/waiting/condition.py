"""
A condition as a tree: measures compared with numbers, joined by ``and`` and ``or``.

``coverage(user_score) >= 0.9 and avg(user_score) >= 0.8`` is this::

    Group("and", (
        Comparison(Measure("coverage", "user_score"), ">=", 0.9),
        Comparison(Measure("avg", "user_score"), ">=", 0.8),
    ))
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, replace
from typing import Final

BARE_KEY = r"[^\W\d][\w.-]*"

OPERATORS: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_OPPOSITE: Final = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


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
class Kind:
    """The arguments of a measure, and the range of its figures. None means no bound."""

    arguments: tuple[str, ...]
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
    "count": Kind(("key",), low=0, is_whole=True),
    "runs": Kind(("key",), low=0, is_whole=True),
    "coverage": Kind(("key",), low=0, high=1),
    "avg": Kind(("key",)),
    "min": Kind(("key",)),
    "max": Kind(("key",)),
    "share": Kind(("key", "value"), low=0, high=1),
    "total": Kind((), low=0, is_whole=True),
}


@dataclass(frozen=True)
class Measure:
    """One measure: ``share(user_score, 1)``. Its value is a score (a number) or a label (a text)."""

    name: str
    key: str = ""
    value: float | str = 0.0

    @property
    def kind(self) -> Kind:
        """The arguments of the measure, and the range of its figures."""
        return KINDS[self.name]

    def __str__(self) -> str:
        value = _quoted(self.value) if isinstance(self.value, str) else format_number(self.value)
        key = self.key if re.fullmatch(BARE_KEY, self.key) else _quoted(self.key)
        return f"{self.name}({', '.join((key, value)[: len(self.kind.arguments)])})"


@dataclass(frozen=True)
class Comparison:
    """A measure compared with a number."""

    measure: Measure
    operator: str
    number: float

    @property
    def constant(self) -> bool | None:
        """True if every possible figure fulfils it, False if none does, None if it depends on the figure."""
        outcomes = {OPERATORS[self.operator](possible, 0) for possible in self.measure.kind.orders(self.number)}
        return outcomes.pop() if len(outcomes) == 1 else None

    @property
    def bound(self) -> str:
        """The operator and the number: ``>= 0.9``."""
        return f"{self.operator} {format_number(self.number)}"

    def holds(self, figure: float | None) -> bool | None:
        """Return whether the figure fulfils it; None for an undefined figure."""
        return None if figure is None else OPERATORS[self.operator](order(figure, self.number), 0)

    def negated(self) -> Comparison:
        """Return the comparison that is true if this one is false."""
        return replace(self, operator=_OPPOSITE[self.operator])

    def __str__(self) -> str:
        return f"{self.measure} {self.bound}"


@dataclass(frozen=True)
class Group:
    """Conditions joined by one word. None of its parts is a group of the same word."""

    word: str  # "and" or "or"
    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        if self.word == "or":
            return " or ".join(map(str, self.parts))
        return " and ".join(f"({part})" if isinstance(part, Group) else str(part) for part in self.parts)


Condition = Comparison | Group  # its text is canonical: it parses to the same tree


def measures(*conditions: Condition) -> tuple[Measure, ...]:
    """Return the measures of conditions, each once, in order."""
    by_measure: dict[Measure, None] = {}
    for condition in conditions:
        by_measure |= dict.fromkeys(measures(*condition.parts) if isinstance(condition, Group) else [condition.measure])
    return tuple(by_measure)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
