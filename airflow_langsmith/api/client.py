"""The client: the flows, driven. One that blocks and one that awaits; neither knows more than the other."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Generic, Self, TypeVar

from airflow_langsmith.api.feedback import FeedbackPagination
from airflow_langsmith.api.flow import (
    Answer,
    Backoff,
    Flow,
    Pages,
    Pause,
    RateLimited,
    Reply,
    Request,
    RequestBatch,
    Response,
    Step,
)
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import DistinctRuns, Pagination
from airflow_langsmith.api.projects import find_project, list_projects, read_retention
from airflow_langsmith.api.query import FIELDS, RunQuery
from airflow_langsmith.api.rate_limit import QueuedRequest, RateLimiter, rate_limiter_for
from airflow_langsmith.api.records import Feedback, Info, Page, Project, Run
from airflow_langsmith.api.runs import count_runs, read_run, read_shared
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.transport import AsyncTransport, Transport
from airflow_langsmith.api.wait_clock import WaitClock
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.messages import MAX_LINE, shorten

log = logging.getLogger(__name__)

T = TypeVar("T")

_ANNOUNCED: set[tuple[str, str]] = set()  # sensors make many clients, and once is enough to tell what will be removed


class _Driven:
    """What both drivers keep: the settings, the chosen API version, the count of requests, known projects."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.negotiator = VersionNegotiator(settings)
        self._asked: list[str] = []  # the tier of every request; a list, because threads share it
        self._waits = WaitClock()
        self._owner = id(self)
        self._projects: dict[str, Project] = {}

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return len(self._asked)

    @property
    def waited_seconds(self) -> float:
        """How long it waited for the rate limit, and before it asked again."""
        return self._waits.seconds

    @property
    def thread_waited_seconds(self) -> float:
        """How long this thread waited, in seconds, for the same."""
        return self._waits.seconds_of_thread

    def useful_concurrency(self, tier: str) -> float:
        """How many requests have to be under way at a time to use a budget up."""
        return self._pacer(tier).useful_concurrency

    def _pacer(self, tier: str) -> RateLimiter:
        return rate_limiter_for(self.settings.api_url, self.settings.api_key, tier, self.settings.requests_per_10s)

    def _wait_out(self, pause: Pause) -> float:
        """Give the seconds to wait; where all who share a budget have to, its pacer sees to it, for us too."""
        log.warning("%s", shorten(f"Waiting {pause.seconds:.1f} s {pause.why}", MAX_LINE))
        if isinstance(pause, RateLimited):
            self._pacer(pause.tier).pause(time.monotonic(), pause.seconds)
            return 0.0
        return pause.seconds

    def _noted(self, reply: Answer, request: Request, place: QueuedRequest) -> Answer:
        self._asked.append(request.tier)
        if isinstance(reply, Response):
            refused = reply.status == HTTPStatus.TOO_MANY_REQUESTS
            self._pacer(request.tier).record_answer(place, time.monotonic(), refused=refused)
            told = (self.settings.api_url, request.tier)
            if reply.is_deprecated and told not in _ANNOUNCED:
                _ANNOUNCED.add(told)
                self._announce(request, reply)
        return reply

    def _announce(self, request: Request, reply: Response) -> None:
        """Say that an address will be removed, and what to do about it."""
        if self.settings.api_version == "v1":
            todo = f"Set api_version to auto or v2 in {self.settings.connection_name}"
        else:
            todo = "There is nothing to do: this package changes to what takes its place"
        log.warning("LangSmith removes %s on %s", request.name, _day(reply.headers.get("sunset", "")))
        log.warning(todo)


def _day(sunset: str) -> str:
    """Read the day of a Sunset header; nothing else of a header is shown."""
    found = re.match(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4}", sunset)
    return found[0] if found else "a later day"


class StoppedError(Exception):
    """A thread was told to end; what it was reading does not matter any more."""


class LangSmithClient(_Driven):
    """Reads LangSmith, blocking. Close it, or use it as a context."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._transport = Transport(settings)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Give the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def stopped_by(self, stop: threading.Event) -> Self:
        """Give this same client to threads that have to end when told: it raises :class:`StoppedError` then."""
        client = copy.copy(self)
        client._stop = stop  # noqa: SLF001  # our own
        return client

    def interrupt(self) -> None:
        """End the requests that are under way. Threads that have not been told to stop ask again."""
        self._transport.interrupt()

    def info(self) -> Info:
        """Ask what the server is."""
        return self.drive(self.negotiator.ask_info())

    def api_version(self) -> str:
        """Tell which API version queries are asked in: ``v1`` or ``v2``."""
        return self.drive(self.negotiator.choose()).NAME

    def project(self, name_or_id: str) -> Project:
        """Find a project by exact name or id; asked once, then remembered."""
        if name_or_id not in self._projects:
            self._projects[name_or_id] = self.drive(find_project(name_or_id, self.negotiator.backoff))
        return self._projects[name_or_id]

    def projects(self, name_contains: str | None = None) -> Iterator[Project]:
        """List projects."""
        return self._items(list_projects(name_contains, self.negotiator.backoff))

    def retention(self, project: Project) -> timedelta:
        """Tell how long the traces of a project are kept at most."""
        return self.drive(read_retention(project, Backoff(retries=0)))

    def pagination(self, query: RunQuery) -> Pagination:
        """Prepare to read a query page by page: ``client.drive(pagination.next_page())`` until ``pagination.done``."""
        return Pagination(query, self.negotiator)

    def pages(self, query: RunQuery) -> Iterator[Page]:
        """Read a query page by page, newest run first."""
        walk = self.pagination(query)
        while not walk.done:
            yield self.drive(walk.next_page())

    def runs(self, query: RunQuery) -> Iterator[Run]:
        """Read a query run by run, each once."""
        return self._items(DistinctRuns(query, self.negotiator))

    def count(self, query: RunQuery) -> int:
        """Count the runs of a query."""
        return self.drive(count_runs(query, self.negotiator))

    def run(self, run_id: str, project: Project | None = None, fields: tuple[str, ...] = FIELDS) -> Run:
        """Read one run; v2 has to know its project."""
        return self.drive(read_run(run_id, project, fields, self.negotiator))

    def shared_run(self, share_token: str, run_id: str | None = None) -> Run:
        """Read a run by its public link, with no key."""
        return self.drive(read_shared(share_token, run_id, self.negotiator))

    def feedback(
        self,
        *,
        project: Project | None = None,
        run_ids: tuple[str, ...] | None = None,
        keys: tuple[str, ...] = (),
        created: tuple[datetime | None, datetime | None] = (None, None),
    ) -> Iterator[Feedback]:
        """List feedback, each once, created in ``[after, before)``; of no runs there is none."""
        backoff = self.negotiator.backoff
        return self._items(FeedbackPagination(backoff, project=project, run_ids=run_ids, keys=keys, created=created))

    def _items(self, pages: Pages[T]) -> Iterator[T]:
        while not pages.done:
            yield from self.drive(pages.next_page())

    def drive(self, flow: Flow[T]) -> T:
        """Push a flow to its result."""
        reply: Reply = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            except LangSmithError as error:
                error.where = self.settings.about
                raise
            self._sleep(0.0)
            if isinstance(step, RequestBatch):
                with ThreadPoolExecutor(len(step.requests)) as threads, self._ending_them():
                    reply = list(threads.map(self._ask, step.requests))
            elif isinstance(step, Request):
                reply = self._ask(step)
            else:
                with self._waits:
                    self._sleep(self._wait_out(step))
                reply = None

    @contextmanager
    def _ending_them(self) -> Iterator[None]:
        """End what is under way in other threads when this one is interrupted, because it waits for them."""
        try:
            yield
        except BaseException:
            self._stop.set()
            self.interrupt()
            raise

    def _ask(self, request: Request) -> Answer:
        pacer = self._pacer(request.tier)
        with pacer.enqueue(self._owner, request.pages_left) as place:
            while wait := pacer.seconds_to_wait(place, time.monotonic()):
                with self._waits:
                    self._sleep(wait)
        return self._noted(self._transport.send(request), request, place)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError


@dataclass(frozen=True)
class _End(Generic[T]):
    """The end of a flow."""

    result: T


def _advance(flow: Flow[T], reply: Reply) -> Step | _End[T]:
    """Push a flow on by one step; its end would pass no thread's border as ``StopIteration``."""
    try:
        return flow.send(reply)
    except StopIteration as end:
        return _End(end.value)


class AsyncLangSmithClient(_Driven):
    """Reads LangSmith without blocking, for triggers. Close it, or use it as an async context."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._transport = AsyncTransport(settings)

    async def __aenter__(self) -> Self:
        """Give the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def info(self) -> Info:
        """Ask what the server is."""
        return await self.drive(self.negotiator.ask_info())

    async def project(self, name_or_id: str) -> Project:
        """Find a project by exact name or id; asked once, then remembered."""
        if name_or_id not in self._projects:
            self._projects[name_or_id] = await self.drive(find_project(name_or_id, self.negotiator.backoff))
        return self._projects[name_or_id]

    async def runs(self, query: RunQuery) -> AsyncIterator[Run]:
        """Read a query run by run, each once."""
        runs = DistinctRuns(query, self.negotiator)
        while not runs.done:
            for run in await self.drive(runs.next_page()):
                yield run

    async def drive(self, flow: Flow[T]) -> T:
        """Push a flow to its result, in threads: to read a large page would hold up whatever else the loop does."""
        try:
            return await self._push(flow)
        except LangSmithError as error:
            error.where = self.settings.about
            raise

    async def _push(self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            step = await asyncio.to_thread(_advance, flow, reply)
            if isinstance(step, _End):
                return step.result
            if isinstance(step, RequestBatch):
                reply = list(await asyncio.gather(*map(self._ask, step.requests)))
            elif isinstance(step, Request):
                reply = await self._ask(step)
            else:
                await asyncio.sleep(self._wait_out(step))
                reply = None

    async def _ask(self, request: Request) -> Answer:
        pacer = self._pacer(request.tier)
        async with self._transport.turn():
            with pacer.enqueue(self._owner, request.pages_left) as place:
                while wait := pacer.seconds_to_wait(place, time.monotonic()):  # noqa: ASYNC110  # others are threads, without events
                    await asyncio.sleep(wait)
            return self._noted(await self._transport.send(request), request, place)
