"""A LangSmith that pages as badly as a seed tells it to, without a network."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import gt, lt
from typing import Any, Literal
from uuid import UUID

import msgspec

from airflow_langsmith.api.flow import Request, Response
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import CursorLoopError, LangSmithError, PageTooLargeError
from tests.queries import run_query

DAY = datetime(2026, 3, 1, tzinfo=UTC)
END = DAY + timedelta(days=1)
SHOP = Project(id=str(UUID(int=0)), name="shop")
BOUNDS = re.compile(r'gte\(start_time, "(.+?)"\), lt\(start_time, "(.+?)"\)')
WITHOUT = re.compile(r'neq\(id, "(.+?)"\)')
MOST_RUNS = 200


@dataclass
class Vices:
    """What a server does wrong; the chances are those of one page."""

    version: Literal["v1", "v2"] = "v2"
    last_page_has_cursor: bool = True
    order: str = "newest"  # or "oldest", "none"
    cursors: str = "key"  # the last run served, or "offset": how many were
    largest_page: int | None = None  # runs; more are not served, though they were asked for
    passes: int | None = None  # runs; a larger page is answered with 413
    circle: bool = False  # the last page leads to the first
    loses_cursor: float = 0.0
    repeats_page: float = 0.0  # an older one in place of the next, which comes after it
    serves_nothing: float = 0.0  # an empty page before the next
    serves_less: float = 0.0  # a part of a page
    new_runs: float = 0.0  # that start after all others
    moved_runs: float = 0.0
    ignores_window: bool = False


@dataclass
class HostileServer:
    """Answers either version of the run query."""

    vices: Vices
    chance: random.Random
    runs: dict[str, datetime]
    requests: int = 0
    moved: set[str] = field(default_factory=set)
    _cursors: dict[str, tuple[str, Any]] = field(default_factory=dict)
    _pages: dict[str, list[list[str]]] = field(default_factory=dict)  # by the question
    _largest: int = 0  # runs on a page

    @property
    def can_be_shared(self) -> bool:
        """Whether several paginations see as much as one: how large its pages are, and that it does not sort."""
        vices = self.vices
        return vices.order == "newest" and not (vices.loses_cursor and (vices.largest_page or vices.serves_less))

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        self.requests += 1
        body, vices = request.json or {}, self.vices
        size = body["limit" if vices.version == "v1" else "page_size"]
        if vices.passes is not None and size > vices.passes:
            return Response(413, {}, b"{}")
        self._change()
        start, end = map(datetime.fromisoformat, BOUNDS.findall(body["filter"])[0])
        ids = self._sorted(start, end, set(WITHOUT.findall(body["filter"])))
        before = self._pages.setdefault(body["filter"], [])
        page, cursor = self._page(ids, size, body.get("cursor"), before)
        before.append(page)
        self._largest = max(self._largest, len(page))
        return Response(200, {}, self._written(page, cursor))

    def _page(
        self, ids: list[str], size: int, cursor: str | None, before: list[list[str]]
    ) -> tuple[list[str], str | None]:
        vices, chance = self.vices, self.chance
        if before and chance.random() < vices.repeats_page:
            return chance.choice(before), self._cursor(*self._cursors.get(cursor or "", ("offset", 0)))
        if chance.random() < vices.serves_nothing:
            return [], self._cursor(*self._cursors.get(cursor or "", ("offset", 0)))
        full = min(size, vices.largest_page or size)
        count = chance.randint(1, full) if chance.random() < vices.serves_less else full
        place = self._place(ids, cursor)
        page = ids[place : place + count]
        more = place + count < len(ids)
        if not more and not (vices.last_page_has_cursor and len(page) == full):
            return page, self._cursor("offset", 0) if vices.circle and page else None
        if chance.random() < vices.loses_cursor and self._is_noticed(page, size):
            return page, None
        if vices.cursors == "offset" or not page:
            return page, self._cursor("offset", place + count)
        return page, self._cursor("key", self._key(page[-1]))

    def _is_noticed(self, page: list[str], size: int) -> bool:
        """Return whether anything in an answer without a cursor shows that there should be one."""
        starts = [self.runs[id_] for id_ in page]
        looks_sorted = starts == sorted(starts, reverse=True)
        seems_full = len(page) >= min(size, self._largest or size)
        return seems_full and (self.vices.order == "newest" or not looks_sorted)

    def _place(self, ids: list[str], cursor: str | None) -> int:
        if cursor is None:
            return 0
        kind, value = self._cursors[cursor]
        if kind == "offset":
            return int(value)
        behind = lt if self.vices.order == "newest" else gt
        return next((place for place, id_ in enumerate(ids) if behind(self._key(id_), value)), len(ids))

    def _key(self, id_: str) -> Any:
        return (UUID(id_).int % 9973 if self.vices.order == "none" else self.runs[id_]), id_

    def _cursor(self, kind: str, value: Any) -> str:
        name = str(len(self._cursors) + 1)  # each is another one
        self._cursors[name] = kind, value
        return name

    def _sorted(self, start: datetime, end: datetime, without: set[str]) -> list[str]:
        every = self.vices.ignores_window
        ids = [id_ for id_, at in self.runs.items() if (every or start <= at < end) and id_ not in without]
        return sorted(ids, key=self._key, reverse=self.vices.order == "newest")

    def _change(self) -> None:
        if len(self.runs) < MOST_RUNS and self.chance.random() < self.vices.new_runs:
            for _ in range(self.chance.randint(1, 5)):
                self.runs[str(UUID(int=10**6 + len(self.runs)))] = END - timedelta(microseconds=1)
        if self.runs and self.chance.random() < self.vices.moved_runs:
            moved = self.chance.choice(sorted(self.runs))
            self.moved.add(moved)
            self.runs[moved] = DAY + self.chance.random() * timedelta(days=1)

    def _written(self, page: list[str], cursor: str | None) -> bytes:
        runs = [{"id": id_, "start_time": self.runs[id_]} for id_ in page]
        if self.vices.version == "v1":
            return msgspec.json.encode({"runs": runs, "cursors": {"next": cursor}})
        return msgspec.json.encode({"items": runs, "next_cursor": cursor})


def drawn(seed: int) -> tuple[HostileServer, int]:
    """Draw a server and the page size to ask it with."""
    chance = random.Random(seed)

    def sometimes(value: float, of: int = 4) -> float:
        return value if chance.randrange(of) == 0 else 0.0

    cursors = chance.choice(["key", "offset"])
    page_size, repeats_page = chance.choice([1, 2, 3, 5, 10, 40]), sometimes(0.2)
    vices = Vices(
        version="v1" if chance.random() < 0.5 else "v2",
        last_page_has_cursor=chance.random() < 0.5,
        order=chance.choice(["newest"] * 4 + ["oldest", "none"]),
        cursors=cursors,
        largest_page=chance.choice([None, None, None, 1, 3]),
        passes=chance.choice([None, None, None, 1, 2, 7]),
        circle=chance.randrange(8) == 0,
        loses_cursor=sometimes(chance.choice([0.05, 0.5, 1.0]), 2),
        repeats_page=repeats_page,
        serves_nothing=sometimes(chance.choice([0.2, 0.9, 1.0])),
        serves_less=sometimes(0.3),
        new_runs=sometimes(0.3),
        moved_runs=sometimes(0.2) if cursors == "key" and not repeats_page else 0.0,
        ignores_window=chance.randrange(20) == 0,
    )
    count, together = chance.choice([0, 1, page_size, 2 * page_size, chance.randint(1, 120)]), chance.choice([1, 3, 50])
    apart = chance.choice([timedelta(days=1) / max(1, count), timedelta(microseconds=1), timedelta(seconds=1)])
    runs = {str(UUID(int=chance.getrandbits(64))): DAY + number // together * apart for number in range(count)}
    return HostileServer(vices, chance, runs), page_size


def read(server: HostileServer, page_size: int, most: int) -> Iterator[str]:
    """Read all runs of the day once, by paginations that are shared at random, in no more than ``most`` requests."""
    query = run_query(project=SHOP, start=DAY, end=END, fields=("id",), page_size=page_size)
    paginations, ids = [Pagination(query, VersionNegotiator(Settings(api_version=server.vices.version)))], IdSet()
    while unfinished := [pagination for pagination in paginations if not pagination.done]:
        assert server.requests <= most, (server.vices, "requests")
        pagination = server.chance.choice(unfinished)
        flow, reply = pagination.next_page(), None
        try:
            while True:
                step = flow.send(reply)
                reply = server.answer(step) if isinstance(step, Request) else None
        except StopIteration as end:
            yield from (run.id for run in ids.add_new(end.value.runs))
        if len(paginations) < 9 and server.can_be_shared and pagination.pages_left > 2 and server.chance.random() < 0.2:
            paginations += pagination.split_off(server.chance.randint(2, 3))


def check(seed: int) -> str:
    """Read from the server of a seed, and tell how it ended; what may not be raises an AssertionError."""
    server, page_size = drawn(seed)
    steady = set(server.runs)
    try:
        ids = list(read(server, page_size, 2000 + 100 * MOST_RUNS))
    except LangSmithError as error:
        if isinstance(error, CursorLoopError | PageTooLargeError):
            return type(error).__name__
        raise
    assert len(ids) == len(set(ids)), server.vices
    missing = steady - server.moved - set(ids)
    assert not missing, (server.vices, page_size, len(missing), len(steady))
    return "whole"
