"""
How fast one key may ask: a sliding log of our own requests, one a process for each (host, key, tier).

The budgets are LangSmith's documented ones, in requests per ten seconds. The log counts over a quarter second more
than that, for answers and questions drift on the way; so whatever kind of window the server keeps, it is not exceeded.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from hashlib import sha256

PERIOD = 10.25  # seconds

# Documented: v1 run queries 10 per 10 s for a window of up to 7 days, 3 beyond it, and 3 and 1 with full-text search;
# v2 run queries 300; run stats 1; single reads on v1 30 a minute; everything else 2000 a minute behind the balancer.
BUDGETS = {
    "v1 query": 10,
    "v1 wide query": 3,
    "v1 search": 3,
    "v1 wide search": 1,
    "v2 query": 300,
    "run stats": 1,
    "v1 single": 5,
    "v2 single": 300,
    "other": 300,
    "storage": 100_000,  # not LangSmith's
}
WIDE = timedelta(days=7)


def v1_tier(start: datetime, filters: str, now: datetime | None = None) -> str:
    """
    Name the budget of a v1 run query.

    The server takes a missing end for now, so the width counts from the start of the window until today.
    """
    wide = "wide " if (now or datetime.now(UTC)) - start > WIDE else ""
    return f"v1 {wide}{'search' if 'search(' in filters else 'query'}"


class Pacer:
    """Lets ``budget`` requests pass in any ``period`` seconds; shared by threads."""

    def __init__(self, budget: int, period: float = PERIOD) -> None:
        self._sent: deque[float] = deque(maxlen=budget)
        self._period = period
        self._held_until = 0.0
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take a place in the log; return the seconds to wait before sending."""
        with self._lock:
            full = len(self._sent) == self._sent.maxlen
            go = max(now, self._held_until, self._sent[0] + self._period if full else 0.0)
            self._sent.append(go)
            return go - now

    def hold(self, now: float, seconds: float) -> None:
        """Let nobody pass for a while: the server said that the budget is used up."""
        with self._lock:
            self._held_until = max(self._held_until, now + seconds)


_PACERS: dict[tuple[str, str, str], Pacer] = {}
_LOCK = threading.Lock()


def pacer_for(host: str, api_key: str, tier: str, budget: int | None = None) -> Pacer:
    """Find the process's pacer of a tier; ``budget`` replaces the documented one."""
    place = (host, sha256(api_key.encode()).hexdigest(), f"{tier} {budget or ''}")
    with _LOCK:
        if place not in _PACERS:
            _PACERS[place] = Pacer(budget or BUDGETS[tier])
        return _PACERS[place]
