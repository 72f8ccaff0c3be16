"""The cost of hundreds of triggers in one event loop: time, files and sockets."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import psutil
import pytest

from airflow_langsmith.api.transport import MAX_CONCURRENT_REQUESTS
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger, LangSmithFeedbackTrigger

START = datetime(2026, 3, 1, tzinfo=UTC)
MANY = 60  # triggers

Connect = Callable[..., None]


def trigger(**changes: Any) -> LangSmithFeedbackTrigger:
    """Return a trigger that looks once, at a day of the project."""
    day = {"start": START.isoformat(), "end": (START + timedelta(days=1)).isoformat()}
    arguments: dict[str, Any] = {
        "langsmith_conn_id": "langsmith_default",
        "selection": {"project": "shop", **day, "closes": day["end"]},
        "watched": {"condition": "coverage(user_score) >= 0.9", "fail_when": None, "min_runs": 1},
        "deadline": day["end"],
    }
    return LangSmithFeedbackTrigger(**{**arguments, **changes})


async def event_of(trigger: LangSmithFeedbackTrigger) -> Any:
    """Run a trigger to its only event."""
    (event,) = [event async for event in trigger.run()]
    return event.payload


async def states_of(count: int) -> set[str]:
    """Run triggers concurrently, and return the states of their events."""
    return {event["state"] for event in await asyncio.gather(*(event_of(trigger()) for _ in range(count)))}


def connections(server: LangSmithStandIn) -> int:
    """Return the number of this process's connections to a server."""
    port = int(server.url.rpartition(":")[2])
    sockets = psutil.Process().net_connections("tcp")
    return sum(bool(socket.raddr) and socket.raddr.port == port for socket in sockets)


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> LangSmithStandIn:
    """A project with a run that has feedback."""
    langsmith.add_feedback(langsmith.add_run(project="shop", start_time=START, end_time=START), score=1)
    return langsmith


def test_a_ca_bundle_is_read_once(
    shop: LangSmithStandIn, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many triggers read a CA bundle once, in a thread, and again if the file changes."""
    bundle, readers = tmp_path / "ca.pem", list[int]()
    load = ssl.SSLContext.load_verify_locations

    def read(self: ssl.SSLContext, cafile: Any = None, *more: Any, **others: Any) -> None:
        readers.append(threading.get_ident())
        load(self, cafile, *more, **others)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", read)
    bundle.write_text(Path(certifi.where()).read_text())
    connect(shop, verify=str(bundle))
    assert asyncio.run(states_of(MANY)) == {"met"}
    assert len(readers) == 1
    assert readers[0] != threading.get_ident()
    with bundle.open("a") as file:
        file.write("\n")
    assert asyncio.run(states_of(2)) == {"met"}
    assert len(readers) == 2


def test_triggers_share_a_few_sockets(shop: LangSmithStandIn, connect: Connect) -> None:
    """Any number of triggers share a few connections, and close them in the end."""
    connect(shop)
    most = 0

    async def story() -> None:
        nonlocal most
        task = asyncio.create_task(states_of(MANY))
        while not task.done():
            most = max(most, connections(shop))
            await asyncio.sleep(0.01)
        assert await task == {"met"}

    asyncio.run(story())
    assert 0 < most <= MAX_CONCURRENT_REQUESTS
    assert connections(shop) == 0


async def longest_turn(work: Awaitable[Any]) -> float:
    """Run some work, and return the longest processor time, in seconds, between two turns of the loop."""
    turns = [0.0]

    async def tick() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            turns.append(time.thread_time() - last)
            last = time.thread_time()

    ticking = asyncio.create_task(tick())
    await work
    ticking.cancel()
    return max(turns)


def test_a_large_look_leaves_the_loop_to_others(langsmith: LangSmithStandIn, connect: Connect) -> None:
    """Threads decode and evaluate thousands of runs, so that the event loop stays free."""
    connect(langsmith, "v2")
    for second in range(4000):
        run = langsmith.add_run(project="shop", start_time=START + timedelta(seconds=second), end_time=START)
        langsmith.add_feedback(run, score=1)

    async def look() -> float:
        await event_of(trigger())  # the first look imports modules
        return await longest_turn(event_of(trigger()))

    assert asyncio.run(look()) < 0.015  # half of one evaluation


def test_a_trigger_that_is_cancelled_leaves_nothing(shop: LangSmithStandIn, connect: Connect) -> None:
    """A trigger that is cancelled during an answer ends at once, and closes its connections."""
    connect(shop)
    shop.misbehave("drip", seconds=0.02, times=None)

    async def story() -> None:
        tasks = [asyncio.create_task(event_of(trigger())) for _ in range(4)]
        while len(shop.requests_to("/runs/query")) < 4:  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
    assert connections(shop) == 0


def test_a_look_that_drips_fails(shop: LangSmithStandIn, connect: Connect) -> None:
    """A look whose answer comes too slowly fails after the connection's ``timeout``."""
    connect(shop, timeout=0.3)
    shop.misbehave("drip", seconds=0.05, times=None)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    event = asyncio.run(event_of(trigger(deadline=later, poke_interval=0.05, max_failures=0)))
    assert (event["state"], event["retriable"]) == ("error", True)
    assert event["line"].startswith("No whole answer from 127.0.0.1: ")


def test_a_last_look_that_does_not_end(shop: LangSmithStandIn, connect: Connect) -> None:
    """After the deadline a look takes no longer than the timeout of an answer."""
    connect(shop, timeout=1)
    shop.misbehave("delay", path="", seconds=0.6, times=None)
    event = asyncio.run(event_of(trigger()))
    assert event == {"state": "timeout", "line": "the look did not end within 1 s; the look before it: none"}


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), timedelta(0), "0s", "often"])
@pytest.mark.parametrize("make", [trigger, LangSmithFeedbackEventTrigger])
def test_a_trigger_refuses_an_interval_that_is_no_length_of_time(make: Callable[..., Any], interval: Any) -> None:
    """A wrong ``poke_interval`` is a TypeError, which stops one trigger and not the triggerer."""
    watched = {} if make is trigger else {"project": "shop", "condition": "count(user_score) > 0"}
    with pytest.raises(TypeError, match=r"^poke_interval is "):
        make(poke_interval=interval, **watched)
