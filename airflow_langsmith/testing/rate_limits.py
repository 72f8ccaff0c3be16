"""Rate limits as LangSmith documents them: requests in a fixed window, then 429 until the window ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from threading import Lock

from airflow_langsmith.testing.http_messages import Request, Response, json_response

__all__ = ["RateLimits"]


class RateLimits:
    """
    Counts requests by the end of their path.

    :param limits: End of a path -> (requests, seconds of the window).
    :param retry_after: Whether a 429 says how long to wait.
    """

    def __init__(
        self, limits: Mapping[str, tuple[int, float]], *, retry_after: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._retry_after = retry_after
        self._clock = clock
        self._lock = Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # end of a path -> (end of its window, requests in it)

    def check(self, request: Request) -> Response | None:
        """Count a request. Return a 429 if it exceeds a limit."""
        for path, (max_requests, window_seconds) in self._limits.items():
            if request.path.endswith(path):
                wait_seconds = self._count(path, max_requests, window_seconds)
                if wait_seconds > 0:
                    headers = {"Retry-After": str(math.ceil(wait_seconds))} if self._retry_after else {}
                    return json_response({"detail": "Rate limit exceeded"}, 429, headers)
        return None

    def _count(self, path: str, max_requests: int, window_seconds: float) -> float:
        """Return the seconds to wait, or 0 if the request may pass."""
        with self._lock:
            now = self._clock()
            end, count = self._windows.get(path, (now, 0))
            if now >= end:
                end, count = now + window_seconds, 0
            self._windows[path] = end, count + 1
            return end - now if count >= max_requests else 0.0
