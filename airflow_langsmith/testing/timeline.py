"""Runs in LangSmith's order: by start time, then by id."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge

__all__ = ["ANY_TIME", "Bounds", "Key", "Timeline", "merge_timelines"]

Key = tuple[int, str]  # (start time in microseconds, run id)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Start times from ``low`` to below ``high``, in microseconds. None is no bound."""

    low: int | None = None
    high: int | None = None

    def intersect(self, other: Bounds) -> Bounds:
        """
        Return the bounds of what is within both.

        >>> Bounds(low=3).intersect(Bounds(low=1, high=7))
        Bounds(low=3, high=7)
        """
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Bounds(max(lows, default=None), min(highs, default=None))


ANY_TIME = Bounds()


@dataclass(slots=True)
class Timeline:
    """The keys of runs, sorted by the first read after a change: many runs are added in linear time."""

    _keys: list[Key] = field(default_factory=list)
    _sorted: bool = True

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Timeline:
        """Sort keys."""
        return cls(sorted(keys))

    def add(self, key: Key) -> None:
        """Add a run."""
        self._sorted = self._sorted and (not self._keys or self._keys[-1] < key)
        self._keys.append(key)

    def discard(self, key: Key) -> None:
        """Remove a run, if it is there."""
        keys = self._ordered()
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            del keys[place]

    def keys(self, bounds: Bounds, *, newest_first: bool, after: Key | None) -> Iterator[Key]:
        """Yield the keys within the bounds that come after another key."""
        keys = self._ordered()
        low = 0 if bounds.low is None else bisect_left(keys, (bounds.low, ""))
        high = len(keys) if bounds.high is None else bisect_left(keys, (bounds.high, ""))
        if newest_first:
            high = high if after is None else min(high, bisect_left(keys, after))
            return (keys[place] for place in range(high - 1, low - 1, -1))
        low = low if after is None else max(low, bisect_right(keys, after))
        return (keys[place] for place in range(low, high))

    def _ordered(self) -> list[Key]:
        if not self._sorted:
            self._keys.sort()
            self._sorted = True
        return self._keys


def merge_timelines(
    timelines: list[Timeline], bounds: Bounds, *, newest_first: bool, after: Key | None = None
) -> Iterator[Key]:
    """Yield the keys of several timelines in one order."""
    keys = [timeline.keys(bounds, newest_first=newest_first, after=after) for timeline in timelines]
    return keys[0] if len(keys) == 1 else merge(*keys, reverse=newest_first)
