"""The clients: one blocks, one awaits. Both drive the same flows."""

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
    Response,
    Step,
)
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.pagination import DistinctRuns, Pagination
from airflow_langsmith.api.projects import find_project, list_projects, read_retention
from airflow_langsmith.api.query import FIELDS, RunQuery
from airflow_langsmith.api.rate_limit import QueuedRequest, RateLimiter, rate_limiter_for
from airflow_langsmith.api.records import Feedback, Project, Run
from airflow_langsmith.api.runs import count_runs, read_run, read_shared
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.transport import AsyncTransport, Transport
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.messages import MAX_LINE, shorten

log = logging.getLogger(__name__)

T = TypeVar("T")

_WARNED: set[tuple[str, str]] = set()  # of the removal of an address; sensors make many clients, and once is enough


@dataclass(frozen=True)
class _End(Generic[T]):
    result: T


def _advance(flow: Flow[T], reply: Reply) -> Step | _End[T]:
    """Push a flow on by one step; its end as ``StopIteration`` could not leave a thread."""
    try:
        return flow.send(reply)
    except StopIteration as end:
        return _End(end.value)


class WaitClock:
    """
    Measures what waits cost the whole: ten threads that wait for the same second have waited one second.

    It runs while at least one thread waits, for the rate limit or before a retry.
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


class _Client:
    """What both clients have: the settings, the API version, the count of requests, a cache of projects."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.negotiator = VersionNegotiator(settings)
        self._tiers: list[str] = []  # of every request; a list, because threads share it
        self._waits = WaitClock()
        self._owner = id(self)
        self._projects: dict[str, Project] = {}

    @property
    def requests(self) -> int:
        """The number of requests so far."""
        return len(self._tiers)

    @property
    def waited_seconds(self) -> float:
        """How long the client waited for the rate limit and before retries."""
        return self._waits.seconds

    @property
    def thread_waited_seconds(self) -> float:
        """How long this thread waited for the same."""
        return self._waits.thread_seconds

    def useful_concurrency(self, tier: str) -> float:
        """Return how many requests must be in flight to use a budget up."""
        return self._limiter(tier).useful_concurrency

    def _find_project(self, name_or_id: str) -> Flow[Project]:
        if name_or_id not in self._projects:
            self._projects[name_or_id] = yield from find_project(name_or_id, self.negotiator.backoff)
        return self._projects[name_or_id]

    def _limiter(self, tier: str) -> RateLimiter:
        return rate_limiter_for(self.settings.api_url, self.settings.api_key, tier, self.settings.requests_per_10s)

    def _seconds_of(self, pause: Pause) -> float:
        """Return the seconds to wait; if all who share a budget have to, its limiter makes us wait, too."""
        log.warning("%s", shorten(f"Waiting {pause.seconds:.1f} s {pause.reason}", MAX_LINE))
        if isinstance(pause, RateLimited):
            self._limiter(pause.tier).pause(time.monotonic(), pause.seconds)
            return 0.0
        return pause.seconds

    def _record(self, answer: Answer, request: Request, queued: QueuedRequest) -> Answer:
        self._tiers.append(request.tier)
        if not isinstance(answer, Response):
            return answer
        refused = answer.status == HTTPStatus.TOO_MANY_REQUESTS
        self._limiter(request.tier).record_answer(queued, time.monotonic(), refused=refused)
        key = (self.settings.api_url, request.tier)
        if answer.is_deprecated and key not in _WARNED:
            _WARNED.add(key)
            sunset = re.match(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4}", answer.headers.get("sunset", ""))
            log.warning("LangSmith removes %s on %s", request.name, sunset[0] if sunset else "a later day")
            log.warning(self.negotiator.removal_advice)
        return answer

    @contextmanager
    def _errors_name_the_connection(self) -> Iterator[None]:
        try:
            yield
        except LangSmithError as error:
            error.where = self.settings.description
            raise


class StoppedError(Exception):
    """The stop of this thread was set; its result does not matter any more."""


class LangSmithClient(_Client):
    """Reads LangSmith, blocking. Close it, or use it as a context."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._transport = Transport(settings)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def stopped_by(self, stop: threading.Event) -> Self:
        """Return this client for threads that end once ``stop`` is set: it raises :class:`StoppedError` then."""
        client = copy.copy(self)
        client._stop = stop  # noqa: SLF001  # our own
        return client

    def interrupt(self) -> None:
        """Break the requests in flight. Threads that are not stopped send them again."""
        self._transport.interrupt()

    def api_version(self) -> str:
        """Return the API version of queries: ``v1`` or ``v2``."""
        return self.drive(self.negotiator.choose()).name

    def project(self, name_or_id: str) -> Project:
        """Find a project by exact name or id; a second time it is cached."""
        return self.drive(self._find_project(name_or_id))

    def projects(self, name_contains: str | None = None) -> Iterator[Project]:
        """List projects."""
        return self.items(list_projects(name_contains, self.negotiator.backoff))

    def retention(self, project: Project) -> timedelta:
        """Return how long the traces of a project are kept at most."""
        return self.drive(read_retention(project, Backoff(retries=0)))

    def pagination(self, query: RunQuery) -> Pagination:
        """Prepare to read a query page by page: ``client.drive(pagination.next_page())`` until ``pagination.done``."""
        return Pagination(query, self.negotiator)

    def runs(self, query: RunQuery) -> Iterator[Run]:
        """Read a query run by run, each once."""
        return self.items(DistinctRuns(query, self.negotiator))

    def count(self, query: RunQuery) -> int:
        """Count the runs of a query."""
        return self.drive(count_runs(query, self.negotiator))

    def run(self, run_id: str, project: Project | None = None, fields: tuple[str, ...] = FIELDS) -> Run:
        """Read one run; v2 has to know its project."""
        return self.drive(read_run(run_id, project, fields, self.negotiator))

    def shared_run(self, share_token: str, run_id: str | None = None) -> Run:
        """Read a run by its public link, without a key."""
        return self.drive(read_shared(share_token, run_id, self.negotiator))

    def feedback(
        self,
        *,
        project: Project | None = None,
        run_ids: tuple[str, ...] | None = None,
        keys: tuple[str, ...] = (),
        created: tuple[datetime | None, datetime | None] = (None, None),
    ) -> Iterator[Feedback]:
        """List feedback, each piece once, created in ``[after, before)``; none if ``run_ids`` is empty."""
        backoff = self.negotiator.backoff
        return self.items(FeedbackPagination(backoff, project=project, run_ids=run_ids, keys=keys, created=created))

    def items(self, pages: Pages[T]) -> Iterator[T]:
        """Read items page by page."""
        while not pages.done:
            yield from self.drive(pages.next_page())

    def drive(self, flow: Flow[T]) -> T:
        """Push a flow to its result."""
        reply: Reply = None
        with self._errors_name_the_connection():
            while not isinstance(step := _advance(flow, reply), _End):
                self._sleep(0.0)
                reply = self._reply(step)
            return step.result

    def _reply(self, step: Step) -> Reply:
        if isinstance(step, Request):
            return self._send(step)
        if isinstance(step, list):
            with ThreadPoolExecutor(len(step)) as threads:
                try:
                    return list(threads.map(self._send, step))
                except BaseException:  # this thread is interrupted, and waits for the others
                    self._stop.set()
                    self.interrupt()
                    raise
        with self._waits:
            self._sleep(self._seconds_of(step))
        return None

    def _send(self, request: Request) -> Answer:
        limiter = self._limiter(request.tier)
        with limiter.enqueue(self._owner, request.pages_left) as queued:
            while seconds := limiter.seconds_to_wait(queued, time.monotonic()):
                with self._waits:
                    self._sleep(seconds)
        return self._record(self._transport.send(request), request, queued)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError


class AsyncLangSmithClient(_Client):
    """Reads LangSmith without blocking, for triggers. Close it, or use it as an async context."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._transport = AsyncTransport(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def project(self, name_or_id: str) -> Project:
        """Find a project by exact name or id; a second time it is cached."""
        return await self.drive(self._find_project(name_or_id))

    async def runs(self, query: RunQuery) -> AsyncIterator[Run]:
        """Read a query run by run, each once."""
        pages = DistinctRuns(query, self.negotiator)
        while not pages.done:
            for run in await self.drive(pages.next_page()):
                yield run

    async def drive(self, flow: Flow[T]) -> T:
        """Push a flow to its result, in threads: reading a large page would block the event loop."""
        reply: Reply = None
        with self._errors_name_the_connection():
            while not isinstance(step := await asyncio.to_thread(_advance, flow, reply), _End):
                reply = await self._reply(step)
            return step.result

    async def _reply(self, step: Step) -> Reply:
        if isinstance(step, Request):
            return await self._send(step)
        if isinstance(step, list):
            return list(await asyncio.gather(*map(self._send, step)))
        await asyncio.sleep(self._seconds_of(step))
        return None

    async def _send(self, request: Request) -> Answer:
        limiter = self._limiter(request.tier)
        async with self._transport.turns:
            with limiter.enqueue(self._owner, request.pages_left) as queued:
                while seconds := limiter.seconds_to_wait(queued, time.monotonic()):  # noqa: ASYNC110  # others are threads
                    await asyncio.sleep(seconds)
            return self._record(await self._transport.send(request), request, queued)
