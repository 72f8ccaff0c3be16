"""
A run's place in its trace, by the ids in its ``dotted_order``.

Each segment is a start and an id. Two runs can spell the start of one ancestor differently, by a rounded or corrected
clock, so only the ids tell which run is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_ID = 36  # characters at the end of a segment


def ids(dotted_order: str) -> list[str]:
    """
    Return the ids of a dotted order: from the root down to the run itself.

    >>> a, b = "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b", "1f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"
    >>> ids(f"20260301T000000000000Z{a}.20260301T000001000000Z{b}") == [a, b]
    True
    """
    return [segment[-_ID:] for segment in dotted_order.split(".")]


def tree_order(dotted_orders: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """
    Return the key that sorts these dotted orders as a tree: a run before the runs that it called, and these by start.

    A run's own segment replaces the spellings in the runs below it. Of an ancestor that is not among them, one spelling
    stands for all.
    """
    spelling: dict[str, str] = {}
    own: dict[str, str] = {}
    for order in dotted_orders:
        *above, last = order.split(".")
        own[last[-_ID:]] = last
        for segment in above:
            spelling.setdefault(segment[-_ID:], segment)
    spelling |= own

    def key(order: str) -> tuple[str, ...]:
        return tuple(spelling.get(segment[-_ID:], segment) for segment in order.split("."))

    return key
