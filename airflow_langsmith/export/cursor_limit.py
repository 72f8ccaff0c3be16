"""How many cursors read a window: as many as the budget has use for, while pages per second grow by them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ParallelReadPolicy:
    """What bounds the cursors that read a window, and the rows that wait on the local disk meanwhile."""

    max_cursors: int = 9  # with the page before them they use up v1's budget of 10
    first_cursors_per_request: float = 3.0  # that has to be under way on average: to ask early for all that is allowed
    cursors_per_request: float = 1.3  # later, because some answers are late
    min_pages_to_share: float = 4.0  # each share may waste most of a page
    min_seconds_to_share: float = 1.0  # that one cursor takes for the rest
    cursors_per_trial: int = 3  # for each cursor that has proved useful
    useful_gain: float = 0.5  # of the pages per second that more cursors would add if no page took longer
    useless_gain: float = 0.25  # between the two, a trial goes on
    pages_per_trial: int = 3  # of each cursor, at most
    pages_between_trials: int = 16  # doubled after each trial
    cpu_per_read: float = 3.0  # CPU seconds from a page to its rows in a file, per CPU second that it takes to read
    max_bytes_in_flight: int = 32 * 1024 * 1024  # of pages
    max_bytes_on_disk: int = 2 * 1024**3  # of rows that wait for their turn, and a page more


class CursorLimit:
    """
    How many cursors may read at a time: more only while pages per second really grow.

    All cursors that the budget has use for are tried. If a page takes so much longer then that pages per second hardly
    grow, the others stop, because they load a small server for nothing, and some are tried again later::

        cursors   seconds a page   pages per second
              1              0.3               3.3    nine are tried
              9              0.9              10.0    that is what three would do: three are tried
              3              0.3              10.0    three it is, for 16 pages
    """

    def __init__(self, policy: ParallelReadPolicy | None = None) -> None:
        self.cursors = 1
        self.changes = 0  # how often it was another number
        self._policy = policy or ParallelReadPolicy()
        self._useful, self._rate = 1, 0.0  # cursors that proved useful, and their pages per second
        self._pause_pages, self._next_pause_pages = 0, self._policy.pages_between_trials
        self._begin()

    def usable(self, requests: float, seconds_left: float, max_cursors: int) -> int:
        """
        Return how many cursors the budget has use for.

        On average ``requests`` have to be under way to use it up; one cursor takes ``seconds_left`` for the rest.
        """
        policy = self._policy
        if requests <= 1 or seconds_left < policy.min_seconds_to_share:
            return 1
        per_request = policy.cursors_per_request if self.changes else policy.first_cursors_per_request
        return max(1, min(max_cursors, math.ceil(per_request * requests)))

    def shares(self, pages: float, others: list[float], usable: int) -> int:
        """Return in how many shares a cursor splits the pages it has left; ``others`` are those of other cursors."""
        cursors, min_pages = min(usable, self.cursors), self._policy.min_pages_to_share
        if pages < max([min_pages, *others]):
            return 1
        share = math.ceil(cursors * pages / (pages + sum(others)))
        return max(1, min(share, cursors - len(others), int(2 * pages / min_pages)))

    def add_page(self, seconds: float, changes: int, reading: int, usable: int) -> None:
        """Learn how many seconds a page took, without waits for the rate limit, while so many cursors read."""
        if changes != self.changes:  # it was requested before the last change
            return
        self._pages += 1
        self._pause_pages = max(0, self._pause_pages - 1)
        self._seconds.append(max(seconds, 1e-6))
        if self._pages < reading:
            return
        if reading > self._useful:
            self._judge(reading)
            return
        if reading == self._useful:
            self._rate = self._pages_per_second(reading)
        if self.cursors == self._useful < usable and not self._pause_pages:
            self._change(min(usable, self._policy.cursors_per_trial * self._useful) if self.changes else usable)

    def _judge(self, reading: int) -> None:
        """Decide on a trial: keep its cursors, go on with as many as their pages need, or wait for more pages."""
        policy, rate = self._policy, self._pages_per_second(reading)
        gain = (rate / self._rate - 1) / (reading / self._useful - 1)
        if gain >= policy.useful_gain:
            self._useful, self._rate = self.cursors, rate
        elif gain < policy.useless_gain or self._pages >= policy.pages_per_trial * reading:
            self._pause_pages, self._next_pause_pages = self._next_pause_pages, 2 * self._next_pause_pages
            self._change(max(self._useful, min(reading - 1, round(self._useful * rate / self._rate))))

    def _pages_per_second(self, reading: int) -> float:
        if self._pages <= reading:  # the first pages may have come one after another: the slowest one counts
            return reading / max(self._seconds)
        return reading * len(self._seconds) / sum(self._seconds)

    def _change(self, cursors: int) -> None:
        self.changes += 1
        self.cursors = cursors
        self._begin()

    def _begin(self) -> None:
        self._pages = 0  # since the last change
        self._seconds: deque[float] = deque(maxlen=max(self._policy.pages_per_trial, self.cursors))  # of the last pages
