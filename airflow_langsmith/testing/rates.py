"""Rate limits as LangSmith documents them: so many requests in a fixed window, then 429 until it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from threading import Lock

from airflow_langsmith.testing.exchange import Answer, Call, json_answer

__all__ = ["RateLimits"]


class RateLimits:
    """
    Counts requests by the end of their path.

    :param limits: End of a path -> (requests, seconds of the window).
    :param tells: Whether the refusal says how long to wait.
    """

    def __init__(
        self, limits: Mapping[str, tuple[int, float]], *, tells: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._tells = tells
        self._clock = clock
        self._lock = Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # end of a path -> (when its window ends, requests in it)

    def check(self, call: Call) -> Answer | None:
        """Count one request; answer it where it is one too many."""
        for suffix, (allowed, seconds) in self._limits.items():
            if call.path.endswith(suffix):
                wait = self._count(suffix, allowed, seconds)
                if wait > 0:
                    headers = {"Retry-After": str(math.ceil(wait))} if self._tells else {}
                    return json_answer({"detail": "Rate limit exceeded"}, 429, headers)
        return None

    def _count(self, suffix: str, allowed: int, seconds: float) -> float:
        """Give the seconds to wait; 0 lets the request pass."""
        with self._lock:
            now = self._clock()
            end, count = self._windows.get(suffix, (now, 0))
            if now >= end:
                end, count = now + seconds, 0
            self._windows[suffix] = end, count + 1
            return end - now if count >= allowed else 0.0
