"""Runs in the one order LangSmith has: by start time, ties by id."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge

__all__ = ["ANY_TIME", "Bounds", "Key", "Timeline", "scan"]

Key = tuple[int, str]  # (start time in microseconds, run id)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Start times from ``low`` to below ``high``, in microseconds; None leaves a side open."""

    low: int | None = None
    high: int | None = None

    def both(self, other: Bounds) -> Bounds:
        """
        Take what lies within these and others.

        >>> Bounds(low=3).both(Bounds(low=1, high=7))
        Bounds(low=3, high=7)
        """
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Bounds(max(lows, default=None), min(highs, default=None))


ANY_TIME = Bounds()


@dataclass(slots=True)
class Timeline:
    """The keys of some runs. Sorted when first read after a change, so that bulk loads stay linear."""

    _keys: list[Key] = field(default_factory=list)
    _sorted: bool = True

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Timeline:
        """Order a handful of runs."""
        return cls(sorted(keys))

    def add(self, key: Key) -> None:
        """Take in one more run."""
        self._sorted = self._sorted and (not self._keys or self._keys[-1] < key)
        self._keys.append(key)

    def discard(self, key: Key) -> None:
        """Forget a run, before it comes back under another start time."""
        keys = self._ordered()
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            del keys[place]

    def __len__(self) -> int:
        return len(self._keys)

    def walk(self, bounds: Bounds, *, newest_first: bool, beyond: Key | None) -> Iterator[Key]:
        """Yield the keys within the bounds that come after the key ``beyond`` in the chosen direction."""
        keys = self._ordered()
        low = 0 if bounds.low is None else bisect_left(keys, (bounds.low, ""))
        high = len(keys) if bounds.high is None else bisect_left(keys, (bounds.high, ""))
        if newest_first:
            high = high if beyond is None else min(high, bisect_left(keys, beyond))
            return (keys[place] for place in range(high - 1, low - 1, -1))
        low = low if beyond is None else max(low, bisect_right(keys, beyond))
        return (keys[place] for place in range(low, high))

    def _ordered(self) -> list[Key]:
        if not self._sorted:
            self._keys.sort()
            self._sorted = True
        return self._keys


def scan(timelines: list[Timeline], bounds: Bounds, *, newest_first: bool, beyond: Key | None) -> Iterator[Key]:
    """Walk several timelines as if they were one."""
    walks = [line.walk(bounds, newest_first=newest_first, beyond=beyond) for line in timelines]
    return walks[0] if len(walks) == 1 else merge(*walks, reverse=newest_first)
