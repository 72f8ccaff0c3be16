"""
Conditions on key-value pairs. In an ``and`` they apply to the same pair.

A negative condition applies to all pairs, with one exception: a negative condition on the value beside a positive
condition on the key applies to the pair with that key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_langsmith.testing.filters.comparisons import Test

__all__ = ["Condition", "PairTest", "bind"]

PairTest = Callable[[list[dict[str, object]]], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of a part of a pair: ``neq`` is a negative ``eq``."""

    part: str
    test: Test
    negative: bool

    def holds(self, pair: dict[str, object]) -> bool:
        """Return whether a pair meets the condition."""
        return self.test(pair.get(self.part)) is not self.negative


def bind(conditions: Sequence[Condition]) -> PairTest:
    """
    Return the test of a run's pairs by the conditions of an ``and``.

    >>> absent = bind([Condition("key", "thread_id".__eq__, negative=True)])
    >>> absent([{"key": "user", "value": "u1"}]), absent([{"key": "thread_id", "value": "t1"}])
    (True, False)
    """
    has_key = any(condition.part == "key" and not condition.negative for condition in conditions)
    any_pair: list[Condition] = []
    all_pairs: list[Condition] = []
    for condition in conditions:
        is_universal = condition.negative and (condition.part == "key" or not has_key)
        (all_pairs if is_universal else any_pair).append(condition)

    def matches(pairs: list[dict[str, object]]) -> bool:
        if not all(condition.holds(pair) for pair in pairs for condition in all_pairs):
            return False
        return not any_pair or any(all(condition.holds(pair) for condition in any_pair) for pair in pairs)

    return matches
