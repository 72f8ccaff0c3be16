"""The two drivers over one set of flows: what the blocking client does, the awaiting one does too."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from airflow_langsmith.api.client import AsyncLangSmithClient, LangSmithClient, WaitClock
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import read_pages, run_query

START = datetime(2026, 3, 1, tzinfo=UTC)

BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


@pytest.fixture
def langsmith() -> Any:
    """A project of 250 runs, with feedback on some."""
    with LangSmithStandIn() as server:
        for minute in range(250):
            run = server.add_run(project="shop", start_time=START + timedelta(minutes=minute), inputs={"n": minute})
            if minute % 2:
                server.add_feedback(run, score=minute % 4 == 1, comment=f"n {minute}")
        yield server


def settings(server: LangSmithStandIn, version: Any = "auto", **more: Any) -> Settings:
    """Write the settings of a client, with the budget out of the way."""
    connection = {"api_url": server.url, "api_key": server.api_key, "requests_per_10s": 100_000, **more}
    return Settings(api_version=version, **connection)


async def read_async(connection: Settings, **query: Any) -> tuple[list[str], int]:
    """Read a project without blocking."""
    async with AsyncLangSmithClient(connection) as client:
        project = await client.project("shop")
        day = run_query(project=project, start=START, end=START + timedelta(days=1), **query)
        return [run.id async for run in client.runs(day)], client.requests


def read_blocking(connection: Settings, **query: Any) -> tuple[list[str], int]:
    """Read a project, blocking."""
    with LangSmithClient(connection) as client:
        day = run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1), **query)
        return [run.id for run in client.runs(day)], client.requests


@BOTH
@pytest.mark.parametrize("fault", [None, "status", "reset", "truncate", "too_large"])
def test_both_read_the_same(langsmith: LangSmithStandIn, version: str, fault: Any) -> None:
    """Blocking or not, the same runs come in the same order with the same requests, through the same trouble."""
    results = []
    for read in (read_blocking, lambda connection, **query: asyncio.run(read_async(connection, **query))):
        if fault:
            langsmith.misbehave(fault, after=1, largest_page=30 if fault == "too_large" else 0)
        results.append(read(settings(langsmith, version), page_size=100))
        assert not langsmith.unspent_faults
    assert results[0] == results[1]
    assert len(set(results[0][0])) == 250


@BOTH
def test_both_fail_the_same(langsmith: LangSmithStandIn, version: str) -> None:
    """Blocking or not, what is refused is refused with the same words."""
    messages = []
    for read in (read_blocking, lambda connection, **query: asyncio.run(read_async(connection, **query))):
        with pytest.raises(LangSmithError) as caught:
            read(settings(langsmith, version), filter="eq(")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_the_async_client_asks_what_it_talks_to(langsmith: LangSmithStandIn) -> None:
    """Projects can be read without blocking."""

    async def ask() -> str:
        async with AsyncLangSmithClient(settings(langsmith)) as client:
            return (await client.project(langsmith.project_id("shop"))).name

    assert asyncio.run(ask()) == "shop"


@BOTH
def test_a_page_size_of_the_user_s(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """Pages have the requested size, each request repeats the whole query, and none is superfluous."""
    client = client_of(langsmith, version)
    query = run_query(
        project=client.project("shop"), start=START, end=START + timedelta(days=1), page_size=60, is_root=True
    )
    assert [len(page.runs) for page in read_pages(client, query)] == [60, 60, 60, 60, 10]
    bodies = [request.body for request in langsmith.requests_to("/runs/query")]
    questions = [{name: value for name, value in body.items() if name != "cursor"} for body in bodies]
    assert all(question == questions[0] for question in questions)
    assert len({body.get("cursor") for body in bodies}) == 5


@BOTH
def test_the_largest_page_is_the_default(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """Unless told otherwise, pages are as large as the version allows."""
    client = client_of(langsmith, version)
    query = run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1))
    assert sum(len(page.runs) for page in read_pages(client, query)) == 250
    assert len(langsmith.requests_to("/runs/query")) == (3 if version == "v1" else 1)


@BOTH
def test_pages_that_were_too_large_grow_again(client_of: ClientOf, version: str) -> None:
    """After a stretch that passes only in small pages, pages grow back, so one trouble does not slow a whole export."""
    with LangSmithStandIn() as langsmith:
        for minute in range(1400):
            langsmith.add_run(project="shop", start_time=START + timedelta(minutes=minute))
        langsmith.misbehave("too_large", largest_page=50, times=1)
        client = client_of(langsmith, version)
        query = run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1), page_size=100)
        sizes = [len(page.runs) for page in read_pages(client, query)]
        assert sum(sizes) == 1400
        assert sizes[:8] == [50] * 8
        assert sizes[8] == 100


def test_a_user_s_filter_cannot_widen_the_window(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A filter is added to the window, never put in its place, however it is written."""
    client = client_of(langsmith, "v2")
    query = run_query(
        project=client.project("shop"),
        start=START,
        end=START + timedelta(minutes=10),
        filter='or(eq(is_root, true), gte(start_time, "2000-01-01T00:00:00Z"))',
    )
    assert len(list(client.runs(query))) == 10


def test_feedback_and_projects_over_pages(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """Feedback and projects are listed over all their pages, each piece once."""
    for number in range(230):
        langsmith.add_project(f"project {number:03}")
    client = client_of(langsmith)
    assert len({project.id for project in client.projects()}) == 231
    assert [project.name for project in client.projects("project 00")] != []
    pieces = list(client.feedback(project=client.project("shop")))
    assert len({piece.id for piece in pieces}) == 125
    assert {piece.key for piece in pieces} == {"user_score"}
    of_one = list(client.feedback(run_ids=(str(pieces[0].run_id),), keys=("user_score",)))
    assert [piece.id for piece in of_one] == [pieces[0].id]


@BOTH
def test_a_page_that_is_huge_is_not_read_to_its_end(client_of: ClientOf, version: str) -> None:
    """Runs so large that a full page of them would not fit come in smaller pages, from the first one on."""
    with LangSmithStandIn() as langsmith:
        for second in range(60):
            noise = random.Random(second).randbytes(300_000).hex()  # nothing packs it to less than half
            langsmith.add_run(project="shop", start_time=START + timedelta(seconds=second), inputs={"noise": noise})
        client = client_of(langsmith, version)
        query = run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1))
        pages = list(read_pages(client, query))
        assert sum(len(page.runs) for page in pages) == 60
        assert max(page.size for page in pages) < 40 * 2**20
        sizes = [
            request.body.get("page_size") or request.body["limit"] for request in langsmith.requests_to("/runs/query")
        ]
        assert sizes[0] > sizes[1] > 1
        assert client.requests < 14


def test_threads_that_wait_together_wait_once() -> None:
    """Ten threads that wait at the same time have waited as long as the first to begin and the last to end."""
    clock, all_wait, first_to_last = WaitClock(), Barrier(10), []

    def wait(_: int) -> None:
        began = time.monotonic()
        with clock:
            all_wait.wait(10)
            all_wait.wait(10)
        first_to_last.append(time.monotonic() - began)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(wait, range(10)))
    assert clock.seconds > 0
    assert clock.seconds < sum(first_to_last) / 2 + 1


def test_a_client_tells_how_long_it_waited(langsmith: LangSmithStandIn, client_of: Any) -> None:
    """The client reports the time that the rate limit and the pauses after failures took, and nothing else."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith, "v2", max_retries=3)
    query = run_query(project=client.project("shop"), start=START, end=START + timedelta(1))
    list(client.runs(query))
    without = client.waited_seconds
    langsmith.misbehave("rate_limit", retry_after=1)
    began = time.monotonic()
    list(client.runs(query))
    assert 0.9 < client.waited_seconds - without <= time.monotonic() - began
