"""
How fast one key may ask: a sliding log of our own requests, one a process for each (host, key, tier).

The budgets are LangSmith's documented ones, in requests per ten seconds. The log counts over a quarter second more
than that, for answers and questions drift on the way; so whatever kind of window the server keeps, it is not exceeded.
Where the server says so all the same, others share the budget, or it is smaller: then we take less of it, and find out
from time to time whether there is more again.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
NOT_OF_RUNS = ("other", "storage")  # what a connection's own budget does not replace
WIDE = timedelta(days=7)

LESS = 0.75  # of the cap, after a 429
MORE = 0.1  # of the budget, after a period without
NEWS = 0.2  # what the latest answer counts in the latency
MOST_PATIENCE = 8  # periods before a cap that was too high is tried again
LOOK_AGAIN = 1.0  # seconds; those ahead in the line may have left it
SPACE = 0.9  # of an even share of the period, between requests while several owners want to go


def v1_tier(start: datetime, filters: str, now: datetime | None = None) -> str:
    """
    Name the budget of a v1 run query.

    The server takes a missing end for now, so the width counts from the start of the window until today.
    """
    wide = "wide " if (now or datetime.now(UTC)) - start > WIDE else ""
    return f"v1 {wide}{'search' if 'search(' in filters else 'query'}"


@dataclass(eq=False)
class QueuedRequest:
    """A place in the line: whose request it is for, how much its cursor has to read, and when it was let go."""

    owner: int
    pages_left: float = 0.0
    sent: float = float("-inf")


class RateLimiter:
    """
    Lets ``cap`` requests go in any ``period`` seconds; shared by threads, and fair to those who own the requests.

    A request has a place in the line and asks when to go. Nothing is promised in advance, so whatever happens while it
    waits, such as a 429, counts for it too. The cap is ``budget`` at most. One owner's requests go in bursts; those of
    several are spaced, for an owner who waits for each answer would find each burst over.
    """

    def __init__(self, budget: int, period: float = PERIOD) -> None:
        self.budget = self.cap = budget
        self._period = period
        self._line: list[QueuedRequest] = []  # in order of arrival
        self._log: deque[QueuedRequest] = deque()  # of those let go within the period
        self._went: Counter[int] = Counter()  # how many of these are whose
        self._held_until = self._changed = float("-inf")
        self._too_many = float("inf")  # the cap that was refused last
        self._patience = 1
        self._latency = 0.0  # seconds an answer takes of late
        self._lock = threading.Lock()

    @contextmanager
    def enqueue(self, owner: int, pages_left: float = 0.0) -> Iterator[QueuedRequest]:
        """Take a place in the line; who goes away before the turn comes leaves it."""
        place = QueuedRequest(owner, pages_left)
        with self._lock:
            self._line.append(place)
        try:
            yield place
        finally:
            with self._lock:
                if place in self._line:
                    self._line.remove(place)

    def seconds_to_wait(self, place: QueuedRequest, now: float) -> float:
        """Ask to go: 0 says yes, and counts; else these are the seconds to wait before asking again."""
        with self._lock:
            while self._log and self._log[0].sent + self._period <= now:
                self._went -= Counter((self._log.popleft().owner,))
            self._try_more(now)
            earliest = self._earliest(place, now)
            if earliest > now:
                return min(earliest - now, LOOK_AGAIN)
            self._line.remove(place)
            place.sent = now
            self._log.append(place)
            self._went[place.owner] += 1
            return 0.0

    def record_answer(self, place: QueuedRequest, now: float, *, refused: bool) -> None:
        """Take note of an answer, or a 429. Of several that were on their way together, one lowers the cap."""
        with self._lock:
            if not refused:
                self._latency += ((now - place.sent) - self._latency) * (NEWS if self._latency else 1.0)
            elif place.sent >= self._changed:
                self._too_many = self.cap
                self._patience = min(2 * self._patience, MOST_PATIENCE)
                self.cap = max(1, int(self.cap * LESS))
                self._changed = now

    @property
    def useful_concurrency(self) -> float:
        """How many requests have to be under way at a time to use the budget up (Little's law)."""
        return self.cap * self._latency / self._period

    def pause(self, now: float, seconds: float) -> None:
        """Let nobody go for a while: the server said that the budget is used up."""
        with self._lock:
            self._held_until = max(self._held_until, now + seconds)

    def _earliest(self, place: QueuedRequest, now: float) -> float:
        """Tell when a request may go if nothing else happens: after the hold, with room in the log, in its turn."""
        if not self._log:
            return self._held_until
        turn = 1 + self._before(place)
        crowd = turn + len(self._log) - self.cap  # how many have still to fall out of the log
        room = self._log[min(crowd, len(self._log)) - 1].sent + self._period if crowd > 0 else now
        several = len({*self._went, *(waiting.owner for waiting in self._line)}) > 1
        spaced = self._log[-1].sent + turn * SPACE * self._period / self.cap if several else now
        return max(self._held_until, room, spaced)

    def _before(self, place: QueuedRequest) -> int:
        """
        Count who goes first: the next of the owner of whose requests the fewest went, then who came first.

        Of one owner's, first goes who has most to read: so its cursors end together, and none of them reads alone.
        """
        turns, order = self._went.copy(), {}
        for number, waiting in enumerate(sorted(self._line, key=lambda one: -one.pages_left)):
            order[waiting] = turns[waiting.owner], number
            turns[waiting.owner] += 1
        return sum(turn < order[place] for turn in order.values())

    def _try_more(self, now: float) -> None:
        """Raise the cap after a period without a 429; to one that was too high, after a few."""
        step = max(1, int(self.budget * MORE))
        risky = self.cap < self._too_many <= self.cap + step
        periods = self._patience if risky else 1
        if self.cap < self.budget and now >= max(self._changed, self._held_until) + periods * self._period:
            if self.cap >= self._too_many:
                self._too_many, self._patience = float("inf"), 1
            self.cap = min(self.budget, self.cap + step)
            self._changed = now


_PACERS: dict[tuple[str, str, str], RateLimiter] = {}
_LOCK = threading.Lock()


def rate_limiter_for(host: str, api_key: str, tier: str, budget: int | None = None) -> RateLimiter:
    """Find the process's pacer of a tier; ``budget`` replaces the documented one of whatever reads runs."""
    if tier in NOT_OF_RUNS:
        budget = None
    place = (host, sha256(api_key.encode()).hexdigest(), f"{tier} {budget or ''}")
    with _LOCK:
        if place not in _PACERS:
            _PACERS[place] = RateLimiter(budget or BUDGETS[tier])
        return _PACERS[place]
