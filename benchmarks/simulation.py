"""
How well the limiter uses a budget, on a simulated clock: ``python benchmarks/simulation.py``.

The flows and the limiter are real. The server, the network and the clock are simulated: three kinds of windows,
log-normal latencies, and a drift of a few hundredths of a second on the way to the server.
"""

from __future__ import annotations

import heapq
import math
import random
import re
import sys
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID

import msgspec

from airflow_langsmith.api.flow import Backoff, Flow, Pause, RateLimited, Reply, Request, Response, with_retries
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.rate_limit import RateLimiter
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.export.cursor_limit import CursorLimit, ParallelReadPolicy
from tests.queries import run_query

T = TypeVar("T")

WINDOW_SECONDS = 10.0
SPREAD = 0.3  # standard deviation of the logarithm of latency
MAX_DRIFT_SECONDS = 0.03  # on the way to the server
REFUSAL_SECONDS = 0.1  # for a 429
ENOUGH = 0.95  # share of the fastest possible
TICK_SECONDS = 0.01  # between two checks of a cursor that waits
CURSORS = 8
MAX_CURSORS = ParallelReadPolicy().max_cursors
Process = Iterator[float]


class Clock:
    """Runs processes, each an iterator of seconds to sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._asleep: list[tuple[float, int, Process]] = []
        self._number = 0

    def start(self, process: Process, delay: float = 0.0) -> None:
        """Start a process, now or later."""
        self._number += 1
        heapq.heappush(self._asleep, (self.now + delay, self._number, process))

    def run(self) -> None:
        """Run all processes to their ends."""
        while self._asleep:
            self.now, _, process = heapq.heappop(self._asleep)
            pause = next(process, None)
            if pause is not None:
                self.start(process, pause)


class Fixed:
    """Counts requests in windows that begin with their first request, or at ``first``."""

    def __init__(self, limit: int, first: float | None = None) -> None:
        self._limit, self._first = limit, first
        self._end, self._count = -math.inf, 0

    def wait(self, now: float) -> float:
        """Return the seconds to wait, or 0 if the request may pass."""
        if now >= self._end:
            past = (now - self._first) % WINDOW_SECONDS if self._first is not None else 0.0
            self._end, self._count = now - past + WINDOW_SECONDS, 0
        self._count += 1
        return 0.0 if self._count <= self._limit else self._end - now


class Sliding:
    """Counts the requests of the last window."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Return the seconds to wait, or 0 if the request may pass."""
        while self._passed and self._passed[0] <= now - WINDOW_SECONDS:
            self._passed.popleft()
        if len(self._passed) >= self._limit:
            return self._passed[0] + WINDOW_SECONDS - now
        self._passed.append(now)
        return 0.0


class Tokens:
    """A bucket that is full at first, and fills at the rate of the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tokens, self._then = float(limit), 0.0

    def wait(self, now: float) -> float:
        """Return the seconds to wait, or 0 if the request may pass."""
        rate = self._limit / WINDOW_SECONDS
        self._tokens = min(self._limit, self._tokens + (now - self._then) * rate)
        self._then = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0


class Free:
    """No limit."""

    def wait(self, _: float) -> float:
        """Return 0."""
        return 0.0


Server = Free | Fixed | Sliding | Tokens
SERVERS: dict[str, Callable[[int], Server]] = {"fixed": Fixed, "sliding": Sliding, "token": Tokens}


@dataclass
class World:
    """A clock, a server and a limiter, with the 429s and the time of each owner's last answer."""

    server: Server
    limiter: RateLimiter
    latency: float
    retry_after: bool = True
    spread: float = SPREAD
    at_once: float = math.inf  # requests that the server answers at the same time
    answer: Callable[[Request], bytes] = lambda _: b"{}"
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    clock: Clock = field(default_factory=Clock)
    passed: Counter[int] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    ended: dict[int, float] = field(default_factory=dict)
    limit: CursorLimit = field(default_factory=CursorLimit)
    _free_at: list[float] = field(default_factory=list)  # the times at which the server is free

    def drive(self, flow: Flow[T], owner: int = 0, seconds: list[float] | None = None) -> Generator[float, None, T]:
        """Run a flow to its end, as clients do, and add the seconds of each answer to ``seconds``."""
        reply: Reply = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                self.ended[owner] = self.clock.now
                result: T = end.value
                return result
            reply = None
            if isinstance(step, RateLimited):
                self.limiter.pause(self.clock.now, step.seconds)
            elif isinstance(step, Pause):
                yield step.seconds
            elif isinstance(step, Request):
                with self.limiter.enqueue(owner, step.pages_left) as place:
                    while wait := self.limiter.seconds_to_wait(place, self.clock.now):
                        yield wait
                drift = self.chance.uniform(0, MAX_DRIFT_SECONDS)
                yield drift
                wait = self.server.wait(self.clock.now)
                if wait:
                    self.refused.append(self.clock.now)
                    yield REFUSAL_SECONDS
                    reply = Response(429, {"retry-after": str(math.ceil(wait))} if self.retry_after else {}, b"{}")
                else:
                    self.passed[owner] += 1
                    yield max(0.0, self._queued() + self.latency * math.exp(self.chance.gauss(0, self.spread)) - drift)
                    reply = Response(200, {}, self.answer(step))
                if seconds is not None:
                    seconds.append(self.clock.now - place.sent_at)
                self.limiter.record_answer(place, self.clock.now, refused=wait > 0)

    def _queued(self) -> float:
        """Return the seconds until the server begins to answer a request."""
        if self.at_once == math.inf:
            return 0.0
        free_at = heapq.heappop(self._free_at) if len(self._free_at) >= self.at_once else 0.0
        begin = max(self.clock.now, free_at)
        heapq.heappush(self._free_at, begin + self.latency)
        return begin - self.clock.now

    def export(self, pages: int, cursors: int, owner: int = 0, delay: float = 0.0) -> None:
        """Start to read pages with several cursors, which share them."""
        remaining = iter(range(pages))

        def cursor() -> Process:
            for _ in remaining:
                yield from self.drive(with_retries(lambda: QUERY, bytes, Backoff(6)), owner)

        for _ in range(cursors):
            self.clock.start(cursor(), delay)

    def read(self, times: Iterable[datetime], page_size: int, max_cursors: int = MAX_CURSORS) -> list[Pagination]:
        """Start to read the runs of a day with as many cursors as help, and return the list of their paginations."""
        self.answer = Runs(times).page
        query = run_query(project=SHOP, start=DAY, end=DAY + timedelta(days=1), fields=("id",), page_size=page_size)
        paginations: list[Pagination] = []

        def reading() -> list[Pagination]:
            return sorted(
                (pagination for pagination in paginations if not pagination.done),
                key=lambda pagination: pagination.query.start,
                reverse=True,
            )[: self.limit.cursors]

        def cursor(pagination: Pagination) -> Process:
            paginations.append(pagination)
            seconds: list[float] = []
            while not pagination.done:
                while pagination not in reading():
                    yield TICK_SECONDS
                changes = self.limit.changes
                yield from self.drive(pagination.next_page(), seconds=seconds)
                seconds_left = seconds[-1] * sum(other.pages_left for other in paginations)
                usable = self.limit.usable(self.limiter.useful_concurrency, seconds_left, max_cursors)
                self.limit.add_page(seconds[-1], changes, len(reading()), usable)
                others = [other.pages_left for other in paginations if other is not pagination and not other.done]
                parts = self.limit.shares(pagination.pages_left, others, usable)
                for older in pagination.split_off(parts) if parts > 1 else ():
                    self.clock.start(cursor(older))

        self.clock.start(cursor(Pagination(query, VersionNegotiator(Settings(api_version="v2")))))
        return paginations

    def others(self, requests: int, interval_seconds: float) -> None:
        """Start requests by others, which our limiter does not count."""

        def send() -> Process:
            for _ in range(requests):
                self.server.wait(self.clock.now)
                yield interval_seconds

        self.clock.start(send())


class Runs:
    """Answers the run query of v2 with runs that have an id and a start time."""

    def __init__(self, times: Iterable[datetime]) -> None:
        self.times = sorted(times, reverse=True)

    def page(self, request: Request) -> bytes:
        """Answer with a page."""
        body = request.json or {}
        start, end = map(datetime.fromisoformat, BOUNDS.findall(body["filter"])[0])
        first, last = (bisect_right(self.times, _back(bound), key=_back) for bound in (end, start))
        begin = int(body.get("cursor", first))
        end_place = min(last, begin + body["page_size"])
        items = [{"id": str(UUID(int=place)), "start_time": self.times[place]} for place in range(begin, end_place)]
        return msgspec.json.encode({"items": items, "next_cursor": str(end_place) if end_place < last else None})


def _back(time: datetime) -> float:
    return -time.timestamp()


def even(count: int) -> list[datetime]:
    """Spread runs evenly over the day."""
    return [DAY + (number + 0.5) / count * timedelta(days=1) for number in range(count)]


def diurnal(count: int) -> list[datetime]:
    """Draw runs, most about noon and few about midnight."""
    chance = random.Random(1)
    drawn = iter(lambda: (chance.random(), chance.random()), None)
    times = (time for time, height in drawn if height < 0.1 + math.sin(math.pi * time) ** 2)
    return [DAY + time * timedelta(days=1) for time in islice(times, count)]


def bursty(count: int) -> list[datetime]:
    """Draw a third of the runs at any time, and the others in a dozen bursts of a few minutes."""
    chance = random.Random(1)
    bursts = [chance.random() for _ in range(12)]
    drawn = iter(lambda: chance.random() if chance.random() < 0.3 else chance.gauss(chance.choice(bursts), 0.004), None)
    return [DAY + time * timedelta(days=1) for time in islice((time for time in drawn if 0 <= time < 1), count)]


SHAPES: dict[str, Callable[[int], list[datetime]]] = {"even": even, "diurnal": diurnal, "bursty": bursty}
SHOP = Project(id=str(UUID(int=0)), name="shop")
DAY = datetime(2026, 3, 1, tzinfo=UTC)
BOUNDS = re.compile(r'gte\(start_time, "(.+?)"\), lt\(start_time, "(.+?)"\)')
QUERY = Request("POST", "/runs/query", tier="v1 query")


def fastest(server: str, pages: int, limit: int, latency: float, cursors: int) -> float:
    """Return the least possible seconds: those of the server's windows, or of cursors without a limit."""
    without_limit = math.ceil(pages / cursors) * latency * math.exp(SPREAD**2 / 2)
    refills = (pages - limit) / limit if server == "token" else math.ceil(pages / limit) - 1
    return max(without_limit, refills * WINDOW_SECONDS + latency)


def paced(
    server: str, pages: int, limit: int, latency: float, *, retry_after: bool, seed: int = 0
) -> tuple[float, int]:
    """Export pages, and return the share of the fastest possible and the number of 429s."""
    world = World(SERVERS[server](limit), RateLimiter(limit), latency, retry_after, chance=random.Random(seed))
    world.export(pages, CURSORS)
    world.clock.run()
    return fastest(server, pages, limit, latency, CURSORS) / world.clock.now, len(world.refused)


def shared(shape: str, server: str, runs: int, latency: float, *, retry_after: bool, spread: float = SPREAD) -> Shared:
    """Export the runs of a day with as many cursors as help, at ten requests per ten seconds."""
    world = World(SERVERS[server](10), RateLimiter(10), latency, retry_after, spread)
    paginations = world.read(SHAPES[shape](runs), 100)
    world.clock.run()
    run_count, requests = sum(pagination.runs for pagination in paginations), sum(world.passed.values())
    share = fastest(server, requests, 10, latency, MAX_CURSORS) / world.clock.now
    return Shared(share, len(world.refused), len(paginations), run_count, requests)


@dataclass(frozen=True)
class Shared:
    """The export with several cursors: share of the fastest possible, 429s, paginations, runs, requests."""

    efficiency: float
    refused: int
    paginations: int
    runs: int
    requests: int


def efficiency() -> bool:
    """Print the efficiency for 200 pages of v1 and a million runs of each version; return whether it is enough."""
    print(f"{'pages':>8}{'per 10 s':>10}{'window':>10}{'latency':>9}{'Retry-After':>13}{'efficiency':>12}{'429s':>6}")
    is_enough = True
    for pages, limit in ((200, 10), (10_000, 10), (1_000, 300)):
        for server in SERVERS:
            for latency in (0.3, 3.0):
                for retry_after in (True, False):
                    share, refused = paced(server, pages, limit, latency, retry_after=retry_after)
                    has_header = "yes" if retry_after else "no"
                    print(
                        f"{pages:8,}{limit:10}{server:>10}{latency:9}{has_header:>13}{share:12.3f}{refused:6}",
                        flush=True,
                    )
                    is_enough &= refused == 0 and share >= ENOUGH
    print(
        f"{'runs':>8}{'shape':>10}{'window':>10}{'latency':>9}{'cursors':>9}{'requests':>10}{'efficiency':>12}{'429s':>6}"
    )
    for shape in SHAPES:
        for server in SERVERS:
            for latency in (0.3, 3.0):
                done = shared(shape, server, 19_950, latency, retry_after=True)
                line = f"{done.paginations:9}{done.requests:10}{done.efficiency:12.3f}{done.refused:6}"
                print(f"{done.runs:8,}{shape:>10}{server:>10}{latency:9}{line}", flush=True)
                is_enough &= done.refused == 0
    return is_enough


if __name__ == "__main__":
    sys.exit(0 if efficiency() else 1)
