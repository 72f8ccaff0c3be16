"""
How numbers compare: as the decimals they are written as, and as equal within a billionth.

A score of 0.1 is a tenth here, not the double beside it, so sums and averages are exact. What LangSmith averaged for us
is a double all the same, so numbers whose difference is a billionth of the larger one are equal. All six comparisons
keep to that: of ``<``, ``==`` and ``>`` exactly one holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Final

TOLERANCE: Final = Fraction(1, 10**9)

# A comparison -> the orders it allows: the left side is below (-1), at (0) or above (1) the right.
OPERATORS: Final[Mapping[str, frozenset[int]]] = {
    "<": frozenset({-1}),
    "<=": frozenset({-1, 0}),
    ">": frozenset({1}),
    ">=": frozenset({0, 1}),
    "==": frozenset({0}),
    "!=": frozenset({-1, 1}),
}
OPPOSITE: Final = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}

_DIGITS = Context(prec=1000, traps=[Inexact])  # from the largest double to the smallest it is some 650


def exact(number: float) -> Fraction:
    """
    Give a number as the decimal it is written as.

    >>> exact(0.1)
    Fraction(1, 10)
    """
    return Fraction(repr(float(number)))


def exact_sum(weights: Iterable[tuple[float, int]]) -> Fraction:
    """
    Add up numbers, each as often as it is there. Decimals do this many times faster than fractions.

    >>> exact_sum([(0.1, 3), (-0.3, 1)])
    Fraction(0, 1)
    """
    total = Decimal()
    for number, times in weights:
        total = _DIGITS.fma(Decimal(repr(float(number))), times, total)
    return Fraction(total)


def order(left: Fraction, right: Fraction) -> int:
    """
    Tell whether the left number is below (-1), at (0) or above (1) the right.

    >>> order(Fraction(1, 3), exact(0.3333333333)), order(Fraction(1, 3), exact(0.333333))
    (0, 1)
    """
    if abs(left - right) <= TOLERANCE * max(abs(left), abs(right)):
        return 0
    return 1 if left > right else -1


def alike(left: float, right: float) -> bool:
    """Tell whether two numbers are equal, as :func:`order` would, but fast enough for every single score."""
    return math.isclose(left, right, rel_tol=float(TOLERANCE))


def spell(number: float) -> str:
    """
    Write a number the shortest way that reads back.

    >>> spell(1.0), spell(0.33), spell(1e300)
    ('1', '0.33', '1e+300')
    """
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)  # noqa: PLR2004  # above, digits are noise
