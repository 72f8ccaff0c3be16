"""
A condition as a tree: measures compared with numbers, joined by ``and`` and ``or``.

``coverage(user_score) >= 0.9 and avg(user_score) >= 0.8`` is this::

    Group("and", (
        Comparison(Measure("coverage", "user_score"), ">=", 0.9),
        Comparison(Measure("avg", "user_score"), ">=", 0.8),
    ))
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Final

from airflow_langsmith.waiting.figures import Measure, format_number, order

OPERATORS: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_OPPOSITE: Final = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


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


def measures(*conditions: Condition | None) -> tuple[Measure, ...]:
    """Return the measures of conditions, each once, in order; None has none."""
    ordered: dict[Measure, None] = {}
    for condition in conditions:
        match condition:
            case Group():
                ordered |= dict.fromkeys(measures(*condition.parts))
            case Comparison():
                ordered[condition.measure] = None
    return tuple(ordered)
