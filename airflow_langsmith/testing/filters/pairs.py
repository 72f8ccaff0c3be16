"""
Conditions on key-value pairs, which an ``and`` binds to one and the same pair.

The four negative forms follow from two rules. A negative condition on the key holds when no pair breaks it; so does
one on the value, unless a positive key condition stands beside it, which then picks the pair that is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airflow_langsmith.testing.filters.comparisons import Test

__all__ = ["Condition", "PairTest", "bind"]

PairTest = Callable[[list[dict[str, object]]], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one part of a pair, stated positively: ``neq`` is a negative ``eq``."""

    part: str
    test: Test
    negative: bool

    def holds(self, pair: dict[str, object]) -> bool:
        """Judge one pair."""
        return self.test(pair.get(self.part)) is not self.negative


def bind(conditions: Iterable[Condition]) -> PairTest:
    """
    Judge the pairs of a run by conditions that stood in one ``and``.

    >>> absent = bind([Condition("key", "thread_id".__eq__, negative=True)])
    >>> absent([{"key": "user", "value": "u1"}]), absent([{"key": "thread_id", "value": "t1"}])
    (True, False)
    """
    given = list(conditions)
    keyed = any(condition.part == "key" and not condition.negative for condition in given)
    of_one: list[Condition] = []
    of_all: list[Condition] = []
    for condition in given:
        universal = condition.negative and (condition.part == "key" or not keyed)
        (of_all if universal else of_one).append(condition)

    def judge(pairs: list[dict[str, object]]) -> bool:
        if not all(condition.holds(pair) for pair in pairs for condition in of_all):
            return False
        return not of_one or any(all(condition.holds(pair) for condition in of_one) for pair in pairs)

    return judge
