"""
How well the limiter uses a budget, on a clock that costs nothing: ``python benchmarks/simulation.py``.

The flows and the limiter are the real ones. The server, the network and the clock are made up: three kinds of windows,
log-normal latencies, and a few hundredths of a second of drift on the way there.
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

WINDOW = 10.0  # seconds
SPREAD = 0.3  # of the logarithm of latency
DRIFT = 0.03  # seconds at most from us to the server
REFUSAL = 0.1  # seconds a 429 takes
ENOUGH = 0.95  # of the fastest that there is
TICK = 0.01  # seconds until a cursor that waits looks again
CURSORS = 8
MOST = ParallelReadPolicy().max_cursors
Process = Iterator[float]


class Clock:
    """Runs processes, each an iterator of how long it sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self._asleep: list[tuple[float, int, Process]] = []
        self._number = 0

    def start(self, process: Process, delay: float = 0.0) -> None:
        """Let a process run, now or later."""
        self._number += 1
        heapq.heappush(self._asleep, (self.now + delay, self._number, process))

    def run(self) -> None:
        """Run all of them to their ends."""
        while self._asleep:
            self.now, _, process = heapq.heappop(self._asleep)
            pause = next(process, None)
            if pause is not None:
                self.start(process, pause)


class Fixed:
    """Counts in windows that begin with their first request, or at an hour of the server's own (``first``)."""

    def __init__(self, limit: int, first: float | None = None) -> None:
        self._limit, self._first = limit, first
        self._end, self._count = -math.inf, 0

    def wait(self, now: float) -> float:
        """Give the seconds to wait; 0 lets the request pass."""
        if now >= self._end:
            past = (now - self._first) % WINDOW if self._first is not None else 0.0
            self._end, self._count = now - past + WINDOW, 0
        self._count += 1
        return 0.0 if self._count <= self._limit else self._end - now


class Sliding:
    """Counts those let through in the seconds just past."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Give the seconds to wait; 0 lets the request pass."""
        while self._passed and self._passed[0] <= now - WINDOW:
            self._passed.popleft()
        if len(self._passed) >= self._limit:
            return self._passed[0] + WINDOW - now
        self._passed.append(now)
        return 0.0


class Tokens:
    """A bucket that is full at first, and fills at the limit's rate."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tokens, self._then = float(limit), 0.0

    def wait(self, now: float) -> float:
        """Give the seconds to wait; 0 lets the request pass."""
        rate = self._limit / WINDOW
        self._tokens = min(self._limit, self._tokens + (now - self._then) * rate)
        self._then = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0


class Free:
    """Lets everything through."""

    def wait(self, _: float) -> float:
        """Give no seconds to wait."""
        return 0.0


Server = Free | Fixed | Sliding | Tokens
SERVERS: dict[str, Callable[[int], Server]] = {"fixed": Fixed, "sliding": Sliding, "token": Tokens}


@dataclass
class World:
    """A clock, a server and a limiter, and what happened: 429s, and when each owner had its last answer."""

    server: Server
    limiter: RateLimiter
    latency: float
    tells: bool = True
    spread: float = SPREAD
    at_once: float = math.inf  # answers the server works on at the same time; more of them take longer
    answer: Callable[[Request], bytes] = lambda _: b"{}"
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    clock: Clock = field(default_factory=Clock)
    passed: Counter[int] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    ended: dict[int, float] = field(default_factory=dict)
    limit: CursorLimit = field(default_factory=CursorLimit)
    _free_at: list[float] = field(default_factory=list)  # when the server will have worked off what it was asked

    def drive(self, flow: Flow[T], owner: int = 0, seconds: list[float] | None = None) -> Generator[float, None, T]:
        """Push a flow to its end, as the clients do; ``seconds`` takes how long answers took."""
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
                way = self.chance.uniform(0, DRIFT)
                yield way
                wait = self.server.wait(self.clock.now)
                if wait:
                    self.refused.append(self.clock.now)
                    yield REFUSAL
                    reply = Response(429, {"retry-after": str(math.ceil(wait))} if self.tells else {}, b"{}")
                else:
                    self.passed[owner] += 1
                    yield max(0.0, self._queued() + self.latency * math.exp(self.chance.gauss(0, self.spread)) - way)
                    reply = Response(200, {}, self.answer(step))
                if seconds is not None:
                    seconds.append(self.clock.now - place.sent_at)
                self.limiter.record_answer(place, self.clock.now, refused=wait > 0)

    def _queued(self) -> float:
        """Give the seconds until the server begins to work on a request."""
        if self.at_once == math.inf:
            return 0.0
        free_at = heapq.heappop(self._free_at) if len(self._free_at) >= self.at_once else 0.0
        begin = max(self.clock.now, free_at)
        heapq.heappush(self._free_at, begin + self.latency)
        return begin - self.clock.now

    def export(self, pages: int, cursors: int, owner: int = 0, delay: float = 0.0) -> None:
        """Begin to read so many pages, with several cursors that share them."""
        left = iter(range(pages))

        def cursor() -> Process:
            for _ in left:
                yield from self.drive(with_retries(lambda: QUESTION, bytes, Backoff(6)), owner)

        for _ in range(cursors):
            self.clock.start(cursor(), delay)

    def read(
        self, times: Iterable[datetime], page_size: int, most: int = ParallelReadPolicy().max_cursors
    ) -> list[Pagination]:
        """Begin to read the runs of a day, with as many cursors as are worth it; their paginations come in the list."""
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
                    yield TICK
                changes = self.limit.changes
                yield from self.drive(pagination.next_page(), seconds=seconds)
                left = seconds[-1] * sum(other.pages_left for other in paginations)
                usable = self.limit.usable(self.limiter.useful_concurrency, left, most)
                self.limit.add_page(seconds[-1], changes, len(reading()), usable)
                others = [other.pages_left for other in paginations if other is not pagination and not other.done]
                parts = self.limit.shares(pagination.pages_left, others, usable)
                for older in pagination.split_off(parts) if parts > 1 else ():
                    self.clock.start(cursor(older))

        self.clock.start(cursor(Pagination(query, VersionNegotiator(Settings(api_version="v2")))))
        return paginations

    def others(self, requests: int, every: float) -> None:
        """Let others use the server's budget, who know nothing of our limiter."""

        def ask() -> Process:
            for _ in range(requests):
                self.server.wait(self.clock.now)
                yield every

        self.clock.start(ask())


class Runs:
    """Answers version 2 of the run query for runs of which only the times matter."""

    def __init__(self, times: Iterable[datetime]) -> None:
        self.times = sorted(times, reverse=True)

    def page(self, request: Request) -> bytes:
        """Answer with a page."""
        asked = request.json or {}
        start, end = map(datetime.fromisoformat, BOUNDS.findall(asked["filter"])[0])
        first, last = (bisect_right(self.times, _back(bound), key=_back) for bound in (end, start))
        at = int(asked.get("cursor", first))
        to = min(last, at + asked["page_size"])
        items = [{"id": str(UUID(int=place)), "start_time": self.times[place]} for place in range(at, to)]
        return msgspec.json.encode({"items": items, "next_cursor": str(to) if to < last else None})


def _back(time: datetime) -> float:
    return -time.timestamp()


def even(count: int) -> list[datetime]:
    """Spread runs evenly over the day."""
    return [DAY + (number + 0.5) / count * timedelta(days=1) for number in range(count)]


def diurnal(count: int) -> list[datetime]:
    """Draw most of the runs about noon, few about midnight."""
    chance = random.Random(1)
    drawn = iter(lambda: (chance.random(), chance.random()), None)
    times = (time for time, height in drawn if height < 0.1 + math.sin(math.pi * time) ** 2)
    return [DAY + time * timedelta(days=1) for time in islice(times, count)]


def bursty(count: int) -> list[datetime]:
    """Draw a third of the runs at any time, and the others within a dozen bursts of some minutes."""
    chance = random.Random(1)
    bursts = [chance.random() for _ in range(12)]
    drawn = iter(lambda: chance.random() if chance.random() < 0.3 else chance.gauss(chance.choice(bursts), 0.004), None)
    return [DAY + time * timedelta(days=1) for time in islice((time for time in drawn if 0 <= time < 1), count)]


SHAPES: dict[str, Callable[[int], list[datetime]]] = {"even": even, "diurnal": diurnal, "bursty": bursty}
SHOP = Project(id=str(UUID(int=0)), name="shop")
DAY = datetime(2026, 3, 1, tzinfo=UTC)
BOUNDS = re.compile(r'gte\(start_time, "(.+?)"\), lt\(start_time, "(.+?)"\)')
QUESTION = Request("POST", "/runs/query", tier="v1 query")


def fastest(server: str, pages: int, limit: int, latency: float, cursors: int) -> float:
    """Seconds that no client can beat: those of the server's windows, or of so many cursors without any limit."""
    alone = math.ceil(pages / cursors) * latency * math.exp(SPREAD**2 / 2)
    refills = (pages - limit) / limit if server == "token" else math.ceil(pages / limit) - 1
    return max(alone, refills * WINDOW + latency)


def paced(server: str, pages: int, limit: int, latency: float, *, tells: bool, seed: int = 0) -> tuple[float, int]:
    """Export so many pages; give the share of the fastest there is, and the number of 429s."""
    world = World(SERVERS[server](limit), RateLimiter(limit), latency, tells, chance=random.Random(seed))
    world.export(pages, CURSORS)
    world.clock.run()
    return fastest(server, pages, limit, latency, CURSORS) / world.clock.now, len(world.refused)


def shared(shape: str, server: str, runs: int, latency: float, *, tells: bool, spread: float = SPREAD) -> Shared:
    """Export a day's runs of v1 with as many cursors as are worth it, at ten requests per ten seconds."""
    world = World(SERVERS[server](10), RateLimiter(10), latency, tells, spread)
    paginations = world.read(SHAPES[shape](runs), 100)
    world.clock.run()
    found, requests = sum(pagination.runs for pagination in paginations), sum(world.passed.values())
    share = fastest(server, requests, 10, latency, MOST) / world.clock.now
    return Shared(share, len(world.refused), len(paginations), found, requests)


@dataclass(frozen=True)
class Shared:
    """How several cursors did: share of the fastest for as many requests, 429s, paginations, runs, requests."""

    efficiency: float
    refused: int
    paginations: int
    runs: int
    requests: int


def efficiency() -> bool:
    """Print how well 200 pages of v1 do, and a million runs of either version; tell whether all is well."""
    print(f"{'pages':>8}{'per 10 s':>10}{'window':>10}{'latency':>9}{'Retry-After':>13}{'efficiency':>12}{'429s':>6}")
    well = True
    for pages, limit in ((200, 10), (10_000, 10), (1_000, 300)):
        for server in SERVERS:
            for latency in (0.3, 3.0):
                for tells in (True, False):
                    share, refused = paced(server, pages, limit, latency, tells=tells)
                    told = "yes" if tells else "no"
                    print(f"{pages:8,}{limit:10}{server:>10}{latency:9}{told:>13}{share:12.3f}{refused:6}", flush=True)
                    well &= refused == 0 and share >= ENOUGH
    print(
        f"{'runs':>8}{'shape':>10}{'window':>10}{'latency':>9}{'cursors':>9}{'requests':>10}{'efficiency':>12}{'429s':>6}"
    )
    for shape in SHAPES:
        for server in SERVERS:
            for latency in (0.3, 3.0):
                done = shared(shape, server, 19_950, latency, tells=True)
                line = f"{done.paginations:9}{done.requests:10}{done.efficiency:12.3f}{done.refused:6}"
                print(f"{done.runs:8,}{shape:>10}{server:>10}{latency:9}{line}", flush=True)
                well &= done.refused == 0
    return well


if __name__ == "__main__":
    sys.exit(0 if efficiency() else 1)
