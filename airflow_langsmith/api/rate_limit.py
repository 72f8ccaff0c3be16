"""
The rate limiter: a sliding log of our own requests, one in a process for each (host, key, tier).

The budgets are LangSmith's documented ones, in requests per ten seconds. The log covers a quarter of a second more,
because requests and answers drift on the way. If the server answers 429 all the same, others share the budget, or it is
smaller. Then the limiter lowers its cap, and raises it again step by step.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

# Documented: v1 run queries 10 per 10 s for a window of up to 7 days, 3 beyond it, and 3 and 1 with full-text search;
# v2 run queries 300; run stats 1; single reads on v1 30 a minute; 250 bulk exports an hour, each of which takes long;
# everything else 2000 a minute behind the balancer.
BUDGETS = {
    "v1 query": 10,
    "v1 wide query": 3,
    "v1 search": 3,
    "v1 wide search": 1,
    "v2 query": 300,
    "run stats": 1,
    "v1 single": 5,
    "v2 single": 300,
    "bulk export creation": 250,
    "other": 300,
    "storage": 100_000,  # not LangSmith's
}
TIERS_WITHOUT_RUNS = ("bulk export creation", "other", "storage")  # a connection's own budget does not replace these


@dataclass(frozen=True)
class RateLimitPolicy:
    """How a limiter keeps and adapts its cap."""

    period_seconds: float = 10.25
    cap_factor_after_429: float = 0.75
    increase_share: float = 0.1  # of the budget, after a period without a 429
    max_patience_periods: int = 8  # before a cap that was too high is tried again
    latest_latency_weight: float = 0.2
    max_wait_seconds: float = 1.0  # because requests that are ahead in the queue may have left it
    spacing_share: float = 0.9  # of an even share of the period, between requests while several owners want to send


@dataclass(eq=False)
class QueuedRequest:
    """A request in the queue: its owner, how much its cursor has to read, and when it was sent."""

    owner: int
    pages_left: float = 0.0
    sent_at: float = float("-inf")


class RateLimiter:
    """
    Lets ``cap`` requests through in any period; shared by threads, and fair to the owners of the requests.

    No time is promised to a request in the queue, so a 429 that comes while it waits counts for it as well. The
    requests of one owner go in bursts; those of several are spaced, because an owner that waits for each answer would
    come too late for each burst.
    """

    def __init__(self, budget: int, policy: RateLimitPolicy = RateLimitPolicy()) -> None:  # frozen
        self.budget = self.cap = budget
        self._policy = policy
        self._queue: list[QueuedRequest] = []  # in order of arrival
        self._log: deque[QueuedRequest] = deque()  # sent within the period
        self._sent_by_owner: Counter[int] = Counter()  # in the log
        self._paused_until = self._cap_changed_at = float("-inf")
        self._refused_cap = float("inf")  # the cap of the last 429
        self._patience_periods = 1
        self._latency_seconds = 0.0  # moving average
        self._lock = threading.Lock()

    @contextmanager
    def enqueue(self, owner: int, pages_left: float = 0.0) -> Iterator[QueuedRequest]:
        """Join the queue; a request that gives up before its turn leaves it."""
        request = QueuedRequest(owner, pages_left)
        with self._lock:
            self._queue.append(request)
        try:
            yield request
        finally:
            with self._lock:
                if request in self._queue:
                    self._queue.remove(request)

    def seconds_to_wait(self, request: QueuedRequest, now: float) -> float:
        """Return 0 if the request may be sent now, which counts; else the seconds until it should ask again."""
        with self._lock:
            while self._log and self._log[0].sent_at + self._policy.period_seconds <= now:
                self._sent_by_owner -= Counter((self._log.popleft().owner,))
            self._raise_cap(now)
            earliest = self._earliest(request, now)
            if earliest > now:
                return min(earliest - now, self._policy.max_wait_seconds)
            self._queue.remove(request)
            request.sent_at = now
            self._log.append(request)
            self._sent_by_owner[request.owner] += 1
            return 0.0

    def record_answer(self, request: QueuedRequest, now: float, *, refused: bool) -> None:
        """Record an answer, or a 429. Of several 429s to requests that were sent together, one lowers the cap."""
        with self._lock:
            if not refused:
                weight = self._policy.latest_latency_weight if self._latency_seconds else 1.0
                self._latency_seconds += ((now - request.sent_at) - self._latency_seconds) * weight
            elif request.sent_at >= self._cap_changed_at:
                self._refused_cap = self.cap
                self._patience_periods = min(2 * self._patience_periods, self._policy.max_patience_periods)
                self.cap = max(1, int(self.cap * self._policy.cap_factor_after_429))
                self._cap_changed_at = now

    @property
    def useful_concurrency(self) -> float:
        """How many requests must be in flight to use the budget up (Little's law)."""
        return self.cap * self._latency_seconds / self._policy.period_seconds

    def pause(self, now: float, seconds: float) -> None:
        """Send nothing for a while, because the server said that the budget is used up."""
        with self._lock:
            self._paused_until = max(self._paused_until, now + seconds)

    def _earliest(self, request: QueuedRequest, now: float) -> float:
        """Return when a request may be sent: after the pause, with room in the log, in turn."""
        if not self._log:
            return self._paused_until
        period_seconds, turn = self._policy.period_seconds, 1 + self._ahead_of(request)
        excess = turn + len(self._log) - self.cap  # how many have to leave the log first
        room_at = self._log[min(excess, len(self._log)) - 1].sent_at + period_seconds if excess > 0 else now
        has_several_owners = len({*self._sent_by_owner, *(queued.owner for queued in self._queue)}) > 1
        spacing_seconds = turn * self._policy.spacing_share * period_seconds / self.cap
        spaced_at = self._log[-1].sent_at + spacing_seconds if has_several_owners else now
        return max(self._paused_until, room_at, spaced_at)

    def _ahead_of(self, request: QueuedRequest) -> int:
        """Return how many go first: owners with fewer requests in the log; of one owner, cursors with more to read."""
        turns, order = self._sent_by_owner.copy(), {}
        for number, queued in enumerate(sorted(self._queue, key=lambda each: -each.pages_left)):
            order[queued] = turns[queued.owner], number
            turns[queued.owner] += 1
        return sum(turn < order[request] for turn in order.values())

    def _raise_cap(self, now: float) -> None:
        """Raise the cap after a period without a 429; up to a cap that was refused, only after several."""
        step = max(1, int(self.budget * self._policy.increase_share))
        was_refused = self.cap < self._refused_cap <= self.cap + step
        periods = self._patience_periods if was_refused else 1
        due_at = max(self._cap_changed_at, self._paused_until) + periods * self._policy.period_seconds
        if self.cap < self.budget and now >= due_at:
            if self.cap >= self._refused_cap:
                self._refused_cap, self._patience_periods = float("inf"), 1
            self.cap = min(self.budget, self.cap + step)
            self._cap_changed_at = now


_LIMITERS: dict[tuple[str, str, str], RateLimiter] = {}
_LOCK = threading.Lock()


def rate_limiter_for(host: str, api_key: str, tier: str, budget: int | None = None) -> RateLimiter:
    """Return the process's limiter of a tier; ``budget`` replaces the documented one of the tiers that read runs."""
    if tier in TIERS_WITHOUT_RUNS:
        budget = None
    key = (host, sha256(api_key.encode()).hexdigest(), f"{tier} {budget or ''}")
    with _LOCK:
        if key not in _LIMITERS:
            _LIMITERS[key] = RateLimiter(budget or BUDGETS[tier])
        return _LIMITERS[key]
