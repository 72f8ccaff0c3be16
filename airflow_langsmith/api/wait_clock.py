"""How long a client waits."""

from __future__ import annotations

import threading
import time


class WaitClock:
    """
    Runs while at least one thread waits, for the rate limit or before a retry.

    It measures what the waits cost the whole: ten threads that wait for the same second have waited one second.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._thread = threading.local()
        self._waiting = 0
        self._since = 0.0
        self._lock = threading.Lock()

    @property
    def thread_seconds(self) -> float:
        """How long this thread has waited."""
        return float(getattr(self._thread, "seconds", 0.0))

    def __enter__(self) -> None:
        self._thread.since = time.monotonic()
        with self._lock:
            if self._waiting == 0:
                self._since = time.monotonic()
            self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._thread.seconds = self.thread_seconds + time.monotonic() - self._thread.since
        with self._lock:
            self._waiting -= 1
            if self._waiting == 0:
                self.seconds += time.monotonic() - self._since
