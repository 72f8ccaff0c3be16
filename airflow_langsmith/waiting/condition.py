"""What a condition is made of: measures, each compared with a number, joined by ``and`` and ``or``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from airflow_langsmith.waiting.comparing import OPERATORS, exact, order, spell

BARE_KEY = re.compile(r"[^\W\d][\w.-]*")


@dataclass(frozen=True)
class Kind:
    """What a measure takes in its brackets, and where its figures lie; None is no bound."""

    arguments: tuple[str, ...]
    low: int | None = None
    high: int | None = None
    whole: bool = False

    def orders(self, bound: Fraction) -> frozenset[int]:
        """Tell how figures of this kind may lie to a number: below (-1), at (0), above (1) it."""
        lowest = -1 if self.low is None else order(Fraction(self.low), bound)
        highest = 1 if self.high is None else order(Fraction(self.high), bound)
        between = self.whole and order(Fraction(round(bound)), bound) != 0
        return frozenset(range(lowest, highest + 1)) - ({0} if between else set())

    def __str__(self) -> str:
        if self.whole:
            return "a whole number from 0 up"
        return "any number" if self.low is None else f"a number from {self.low} to {self.high}"


KINDS = {
    "count": Kind(("key",), low=0, whole=True),
    "runs": Kind(("key",), low=0, whole=True),
    "coverage": Kind(("key",), low=0, high=1),
    "avg": Kind(("key",)),
    "min": Kind(("key",)),
    "max": Kind(("key",)),
    "share": Kind(("key", "value"), low=0, high=1),
    "total": Kind((), low=0, whole=True),
}


@dataclass(frozen=True)
class Measure:
    """One figure to measure: ``share(user_score, 1)``. A value is a score (a number) or a label (a text)."""

    name: str
    key: str = ""
    value: float | str = 0.0

    @property
    def kind(self) -> Kind:
        """What figures it gives."""
        return KINDS[self.name]

    def plain(self, figure: Fraction | None) -> float | None:
        """Give a figure of it as JSON knows numbers."""
        return None if figure is None else int(figure) if self.kind.whole else float(figure)

    def __str__(self) -> str:
        value = _quoted(self.value) if isinstance(self.value, str) else spell(self.value)
        key = self.key if BARE_KEY.fullmatch(self.key) else _quoted(self.key)
        return f"{self.name}({', '.join((key, value)[: len(self.kind.arguments)])})"


@dataclass(frozen=True)
class Comparison:
    """A measure and the number it is compared with."""

    measure: Measure
    operator: str
    number: float

    @property
    def bound(self) -> Fraction:
        """The number, exactly."""
        return exact(self.number)

    @property
    def foregone(self) -> bool | None:
        """True if it holds for any figures, false if for none, None if it depends on them."""
        possible, allowed = self.measure.kind.orders(self.bound), OPERATORS[self.operator]
        return True if possible <= allowed else None if possible & allowed else False

    def holds(self, figure: Fraction | None) -> bool | None:
        """Tell whether it holds for a figure; None for one that is undefined."""
        return None if figure is None else order(figure, self.bound) in OPERATORS[self.operator]

    @property
    def need(self) -> str:
        """What the figure has to be: ``>= 0.9``."""
        return f"{self.operator} {spell(self.number)}"

    def __str__(self) -> str:
        return f"{self.measure} {self.need}"


@dataclass(frozen=True)
class And:
    """Holds if all of its parts do."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """Holds if one of its parts does."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


Node = Comparison | And | Or


def joined(kind: type[And | Or], parts: list[Node]) -> Node:
    """Join parts, so that no ``and`` stands within an ``and``, no ``or`` within an ``or``, and none joins one part."""
    flat: list[Node] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else (part,)
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


@dataclass(frozen=True)
class Condition:
    """What has to hold, as a tree. Its text is canonical: it reads back as the same tree."""

    tree: Node

    def __str__(self) -> str:
        return str(self.tree)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """What it compares, each once, in order."""
        return tuple(dict.fromkeys(_measures(self.tree)))

    @property
    def keys(self) -> frozenset[str]:
        """The feedback keys it reads."""
        return frozenset(measure.key for measure in self.measures if measure.kind.arguments)

    @property
    def counted_keys(self) -> frozenset[str]:
        """The keys whose pieces of feedback it counts."""
        return frozenset(measure.key for measure in self.measures if measure.name in ("count", "share"))


def _measures(node: Node) -> Iterator[Measure]:
    if isinstance(node, Comparison):
        yield node.measure
    else:
        for part in node.parts:
            yield from _measures(part)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
