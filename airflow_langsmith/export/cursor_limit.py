"""How many cursors are worth it: by what the budget asks for, and by whether pages per second really grow."""

from __future__ import annotations

import math
from collections import deque

MOST = 9  # cursors; with the page before them they use v1's budget of 10 up at once
AT_FIRST = 3.0  # times as many as are needed on average, to ask early for what the budget allows
SPARE = 1.3  # times as many as that at least, for some answers are late
WORTH_SHARING = 4.0  # pages left; every share may waste most of one
WORTH_SECONDS = 1.0  # that what is left takes one cursor; below that nothing is to be gained
STEP = 3  # times as many cursors are tried again as are worth it
EARNED, LOST = 0.5, 0.25  # of what more cursors would add to pages per second if no page took longer for them
TRIES = 3  # pages for each cursor, within which more of them have to prove worth it
REST = 16  # pages before more are tried again, and twice as many each time


def cursors_wanted(needed: float, seconds_left: float, most: int, *, is_start: bool) -> int:
    """
    Tell how many cursors there is use for.

    :param needed: How many requests have to be under way on average to use the budget up.
    :param seconds_left: How long one cursor takes for what is left.
    :param is_start: Whether there was one cursor until now.
    """
    if needed <= 1 or seconds_left < WORTH_SECONDS:
        return 1
    return max(1, min(most, math.ceil((AT_FIRST if is_start else SPARE) * needed)))


def parts_of(pages: float, others: list[float], cursors: int) -> int:
    """
    Tell among how many cursors, its own one too, a walk is to be shared: by its part of all that is left.

    :param pages: How many pages it has left.
    :param others: How many pages the other walks have left.
    :param cursors: How many cursors there may be.
    """
    if pages < max([WORTH_SHARING, *others]):
        return 1
    part = math.ceil(cursors * pages / (pages + sum(others)))
    return max(1, min(part, cursors - len(others), int(2 * pages / WORTH_SHARING)))


class CursorLimit:
    """
    How many cursors may read at a time: more only while pages per second really grow.

    As many as are wanted are tried. If a page takes so much longer then that pages per second hardly grow, the others
    are given back, and some are tried again later: a small server is loaded for nothing by them::

        cursors   seconds a page   pages per second
              1              0.3               3.3    nine are tried
              9              0.9              10.0    that is what three would do: three are tried
              3              0.3              10.0    three it is, for 16 pages
    """

    def __init__(self) -> None:
        self.cursors = 1
        self.changes = 0  # how often it was another number
        self._worth, self._rate = 1, 0.0  # cursors that are worth it, and their pages per second
        self._rest, self._next_rest = 0, REST
        self._begin()

    def add_page(self, seconds: float, changes: int, reading: int, wanted: int) -> None:
        """
        Take note of a page.

        :param seconds: How long it took, without waits for the rate limit.
        :param changes: The changes when it was asked for; of a page from before the last one nothing can be learnt.
        :param reading: How many cursors read now.
        :param wanted: How many the budget has use for.
        """
        if changes != self.changes:
            return
        self._pages += 1
        self._rest = max(0, self._rest - 1)
        self._seconds.append(max(seconds, 1e-6))
        if self._pages < reading:
            return
        if reading > self._worth:
            self._judge(reading)
            return
        if reading == self._worth:
            self._rate = self._rate_of(reading)
        if self.cursors == self._worth < wanted and not self._rest:
            self._change(min(wanted, STEP * self._worth) if self.changes else wanted)

    def _judge(self, reading: int) -> None:
        """See whether more cursors are worth it: keep them, go on with as many as their pages need, or wait and see."""
        rate = self._rate_of(reading)
        gain = (rate / self._rate - 1) / (reading / self._worth - 1)
        if gain >= EARNED:
            self._worth, self._rate = self.cursors, rate
        elif gain < LOST or self._pages >= TRIES * reading:
            self._rest, self._next_rest = self._next_rest, 2 * self._next_rest
            self._change(max(self._worth, min(reading - 1, round(self._worth * rate / self._rate))))

    def _rate_of(self, reading: int) -> float:
        """Pages per second: of the first pages by the last of them, because they may have come one after another."""
        if self._pages <= reading:
            return reading / max(self._seconds)
        return reading * len(self._seconds) / sum(self._seconds)

    def _change(self, cursors: int) -> None:
        self.changes += 1
        self.cursors = cursors
        self._begin()

    def _begin(self) -> None:
        self._pages = 0  # since the last change
        self._seconds: deque[float] = deque(maxlen=max(TRIES, self.cursors))  # of the latest pages
