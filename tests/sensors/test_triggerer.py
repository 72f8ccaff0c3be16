"""What hundreds of triggers cost the one event loop that they share: time, files, sockets."""

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


def trigger(**more: Any) -> LangSmithFeedbackTrigger:
    """Make a trigger whose only look is at a day of the shop."""
    day = {"start": START.isoformat(), "end": (START + timedelta(days=1)).isoformat()}
    given: dict[str, Any] = {
        "langsmith_conn_id": "langsmith_default",
        "selection": {"project": "shop", **day, "closes": day["end"]},
        "watched": {"condition": "coverage(user_score) >= 0.9", "fail_when": None, "min_runs": 1},
        "deadline": day["end"],
    }
    return LangSmithFeedbackTrigger(**{**given, **more})


async def event_of(one: LangSmithFeedbackTrigger) -> Any:
    """Run a trigger to its only event."""
    (event,) = [event async for event in one.run()]
    return event.payload


async def states_of(count: int) -> set[str]:
    """Run some triggers side by side."""
    return {event["state"] for event in await asyncio.gather(*(event_of(trigger()) for _ in range(count)))}


def connections(server: LangSmithStandIn) -> int:
    """Count the connections to a server, by the ends of those who ask."""
    port = int(server.url.rpartition(":")[2])
    return sum(bool(one.raddr) and one.raddr.port == port for one in psutil.Process().net_connections("tcp"))


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> LangSmithStandIn:
    """A project with a run that people like."""
    langsmith.add_feedback(langsmith.add_run(project="shop", start_time=START, end_time=START), score=1)
    return langsmith


def test_a_ca_bundle_is_read_once(
    shop: LangSmithStandIn, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many triggers of a connection read its CA bundle once, outside the loop; if the file changes, once more."""
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
    """However many triggers look at once, they share a few connections, and none is left when they have ended."""
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
    """Do some work, and return the most processor time, in seconds, that this loop takes before others have a turn."""
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
    """Thousands of runs are unpacked, decoded and judged in threads: the loop itself has little to do."""
    connect(langsmith, "v2")
    for second in range(4000):
        run = langsmith.add_run(project="shop", start_time=START + timedelta(seconds=second), end_time=START)
        langsmith.add_feedback(run, score=1)

    async def look() -> float:
        await event_of(trigger())  # loads what it needs
        return await longest_turn(event_of(trigger()))

    assert asyncio.run(look()) < 0.015  # half of what one judgement takes


def test_a_trigger_that_is_cancelled_leaves_nothing(shop: LangSmithStandIn, connect: Connect) -> None:
    """A trigger whose task is cleared in the middle of an answer ends at once, and its connections with it."""
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
    """A look whose answer comes drop by drop fails after the connection's `timeout`, and says so."""
    connect(shop, timeout=0.3)
    shop.misbehave("drip", seconds=0.05, times=None)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    event = asyncio.run(event_of(trigger(deadline=later, poke_interval=0.05, max_failures=0)))
    assert (event["state"], event["retriable"]) == ("error", True)
    assert event["line"].startswith("No whole answer from 127.0.0.1: ")


def test_a_last_look_that_does_not_end(shop: LangSmithStandIn, connect: Connect) -> None:
    """A look goes on beyond the deadline no longer than an answer may take; then the time is up."""
    connect(shop, timeout=1)
    shop.misbehave("delay", path="", seconds=0.6, times=None)
    event = asyncio.run(event_of(trigger()))
    assert event == {"state": "timeout", "line": "the look did not end within 1 s; the look before it: none"}


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), timedelta(0), "0s", "often"])
@pytest.mark.parametrize("make", [trigger, LangSmithFeedbackEventTrigger])
def test_a_trigger_takes_no_interval_that_is_none(make: Callable[..., Any], interval: Any) -> None:
    """A pause of nothing, or of no number, is refused by name; as a TypeError it stops one trigger, not all."""
    watched = {} if make is trigger else {"project": "shop", "condition": "count(user_score) > 0"}
    with pytest.raises(TypeError, match=r"^poke_interval is "):
        make(poke_interval=interval, **watched)
