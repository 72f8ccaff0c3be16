"""The triggers of the sensors and of asset watchers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from langsmith import Client

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.triggers import (
    LangSmithFeedbackEventTrigger,
    LangSmithFeedbackTrigger,
    LangSmithSettledTrigger,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

Connect = Callable[..., None]

# Triggers as 0.1.0 serialized them: a task that is deferred during an upgrade has to continue.
WRITTEN: list[tuple[str, dict[str, Any]]] = [
    (
        "airflow_langsmith.triggers.LangSmithFeedbackTrigger",
        {
            "langsmith_conn_id": "langsmith_default",
            "selection": {
                "project": "shop",
                "start": "2026-03-01T00:00:00+00:00",
                "end": "2026-03-02T00:00:00+00:00",
                "closes": "2026-03-02T01:00:00+00:00",
                "is_root": True,
                "run_ids": ["0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"],
            },
            "watched": {"condition": "coverage(user_score) >= 0.9", "fail_when": None, "min_runs": 0},
            "deadline": "2026-03-03T00:00:00+00:00",
            "poke_interval": 60.0,
            "exponential_backoff": True,
            "max_wait": 600.0,
            "max_failures": None,
        },
    ),
    (
        "airflow_langsmith.triggers.LangSmithSettledTrigger",
        {
            "langsmith_conn_id": "langsmith_default",
            "selection": {
                "project": "shop",
                "start": "2026-03-01T00:00:00+00:00",
                "end": "2026-03-02T00:00:00+00:00",
                "closes": "2026-03-02T00:00:00+00:00",
            },
            "watched": {
                "quiet_for": 600.0,
                "pending_timeout": 86400.0,
                "count": 2,
                "since": "2026-03-02T00:00:00+00:00",
            },
            "deadline": "2026-03-03T00:00:00+00:00",
            "poke_interval": 60.0,
            "exponential_backoff": False,
            "max_wait": None,
            "max_failures": 5,
        },
    ),
    (
        "airflow_langsmith.triggers.LangSmithFeedbackEventTrigger",
        {
            "project": "shop",
            "condition": "count(user_score) > 0",
            "window": "400d",
            "is_root": True,
            "min_runs": 1,
            "poke_interval": 0.05,
            "langsmith_conn_id": "langsmith_default",
        },
    ),
]


def rebuilt(written: tuple[str, dict[str, Any]]) -> Any:
    """Return a trigger from its serialized form, as the triggerer makes it."""
    try:
        from airflow.sdk.serde import deserialize, serialize  # noqa: PLC0415
    except ImportError:  # before Airflow 3.2
        from airflow.serialization.serde import (  # type: ignore[import-not-found, no-redef]  # noqa: PLC0415
            deserialize,
            serialize,
        )
    module, _, name = written[0].rpartition(".")
    arguments: Any = deserialize(json.loads(json.dumps(serialize(written[1]))))
    return getattr(import_module(module), name)(**arguments)


async def first(trigger: Any) -> Any:
    """Run a trigger until its first event."""
    events = trigger.run()
    event = await anext(events)
    await events.aclose()
    return event.payload


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written[0].rpartition(".")[2])
def test_what_is_written_down_is_read_back(
    langsmith: LangSmithStandIn, connect: Connect, written: tuple[str, dict[str, Any]]
) -> None:
    """A trigger that the first release serialized still runs, and has no secret."""
    connect(langsmith)
    run = langsmith.add_run(project="shop", id="0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b", start_time=START, end_time=START)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    langsmith.add_feedback(run, score=1)
    trigger = rebuilt(written)
    assert trigger.serialize() == written
    assert langsmith.api_key not in repr(trigger)
    triggers = trigger, rebuilt(trigger.serialize())
    events = [asyncio.run(first(trigger)) for trigger in triggers]
    results = [event.get("result", event) for event in events]
    assert [(event.get("state", "met"), result["project"]) for event, result in zip(events, results, strict=True)] == [
        ("met", "shop")
    ] * 2
    measured = [{name: result.get(name) for name in ("figures", "total", "feedback", "runs")} for result in results]
    assert measured[0] == measured[1] != dict.fromkeys(measured[0])


def test_two_triggerers_at_once(langsmith: LangSmithStandIn, connect: Connect) -> None:
    """The same trigger on two triggerers, or after a restart, gives the same event."""
    connect(langsmith)
    run = langsmith.add_run(project="shop", start_time=START, end_time=START)
    langsmith.add_feedback(run, score=1)
    selection = {**WRITTEN[1][1]["selection"]}
    arguments: Any = {**WRITTEN[0][1], "selection": selection, "poke_interval": 0.05}

    async def both() -> list[Any]:
        return await asyncio.gather(*(first(LangSmithFeedbackTrigger(**arguments)) for _ in range(2)))

    first_event, second_event = asyncio.run(both())
    assert first_event == second_event
    assert first_event["state"] == "met"


def test_a_deadline_that_has_passed(langsmith: LangSmithStandIn, connect: Connect) -> None:
    """A trigger that starts after its deadline looks once, and reports the timeout."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    selection = {**WRITTEN[1][1]["selection"]}
    trigger = LangSmithFeedbackTrigger(**{**WRITTEN[0][1], "selection": selection})
    event = asyncio.run(first(trigger))
    assert event["state"] == "timeout"
    assert "coverage(user_score) 0 (needs >= 0.9" in event["line"]


def test_a_pause_comes_first(langsmith: LangSmithStandIn, connect: Connect) -> None:
    """A trigger begins with a pause of ``poke_interval``, because its sensor has just looked."""
    connect(langsmith)
    run = langsmith.add_run(project="shop", start_time=START, end_time=START)
    langsmith.add_feedback(run, score=1)
    later = (datetime.now(UTC) + DAY).isoformat()
    arguments: Any = {**WRITTEN[0][1], "selection": WRITTEN[1][1]["selection"], "deadline": later, "poke_interval": 0.5}
    began = time.monotonic()
    assert asyncio.run(first(LangSmithFeedbackTrigger(**arguments)))["state"] == "met"
    assert time.monotonic() - began >= 0.5


def test_many_triggers_share_the_budget(client_of: Any, connect: Connect) -> None:
    """Triggers in one event loop share the rate limit, and each one ends."""
    with LangSmithStandIn(rate_limits={"/runs/query": (10, 10.0)}, retry_after=True) as langsmith:
        connect(langsmith, "v2", requests_per_10s=10)
        for number in range(4):
            run = langsmith.add_run(project=f"shop-{number}", start_time=START, end_time=START)
            langsmith.add_feedback(run, score=1)

        async def every() -> list[Any]:
            triggers = [
                LangSmithFeedbackTrigger(
                    **{**WRITTEN[0][1], "selection": {**WRITTEN[1][1]["selection"], "project": f"shop-{number}"}}
                )
                for number in range(4)
            ]
            return await asyncio.gather(*map(first, triggers))

        assert [event["state"] for event in asyncio.run(every())] == ["met"] * 4
        assert {request.status for request in langsmith.requests} == {200}


class Store:
    """The state that Airflow stores with an asset."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        """Store a value."""
        self.values[key] = value


def test_an_asset_event_at_each_edge(langsmith: LangSmithStandIn, connect: Connect) -> None:
    """An event fires when a condition becomes true, and again only after it was false."""
    connect(langsmith)
    now = datetime.now(UTC)
    runs = [langsmith.add_run(project="shop", start_time=now, end_time=now) for _ in range(2)]
    options: Any = {"project": "shop", "condition": "share(user_score, 0) > 0.4", "window": "1h", "poke_interval": 0.05}
    store, official = Store(), Client(api_url=langsmith.url, api_key=langsmith.api_key)

    def trigger() -> Any:
        made = LangSmithFeedbackEventTrigger(**options)
        made.asset_state_store = store  # type: ignore[assignment]  # as the triggerer does
        return made

    async def looks(count: int) -> None:
        """Wait for this number of further looks."""
        there = len(langsmith.requests_to("/runs/query"))
        while len(langsmith.requests_to("/runs/query")) < there + 2 * count + 1:  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.01)

    async def fired(watcher: Any, while_: Any) -> list[Any]:
        events: list[Any] = []

        async def collect() -> None:
            async for event in watcher.run():
                events.append(event.payload)  # noqa: PERF401  # it is cancelled before its end

        task = asyncio.create_task(collect())
        await while_
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return events

    async def story() -> None:
        bad = langsmith.add_feedback(runs[0], score=0)
        await looks(3)
        await asyncio.to_thread(official.delete_feedback, bad)
        langsmith.add_feedback(runs[1], score=1)
        await looks(3)
        for _ in range(3):
            langsmith.add_feedback(runs[1], score=0)
        await looks(3)

    events = asyncio.run(fired(trigger(), story()))
    first, second = (event["figures"]["share(user_score, 0)"] for event in events)
    assert first == 1.0
    assert 0.4 < second <= 0.75  # a look may come before all three are there
    assert langsmith.project_id("shop") in events[0]["url"]
    assert asyncio.run(fired(trigger(), looks(3))) == []  # after a restart the stored state says that it has fired
    langsmith.misbehave("status", path="/runs/query", status=503, times=2)
    assert asyncio.run(fired(LangSmithFeedbackEventTrigger(**options), looks(4)))  # without stored state it fires again


def test_a_watcher_belongs_to_an_asset(langsmith: LangSmithStandIn) -> None:
    """Airflow accepts the trigger in an AssetWatcher, and a wrong argument is an error at once."""
    trigger = LangSmithFeedbackEventTrigger(project="shop", condition="count(user_score) >= 10")
    asset = Asset("judged", watchers=[AssetWatcher(name="people", trigger=trigger)])
    assert asset.watchers[0].trigger is trigger
    with pytest.raises(ConfigurationError, match="never"):
        LangSmithFeedbackEventTrigger(project="shop", condition="coverage(x) > 1")
    wrong: dict[str, Any] = {"run_tpye": "llm"}
    with pytest.raises(ConfigurationError, match="run_tpye"):
        LangSmithFeedbackEventTrigger(project="shop", condition="count(x) > 1", **wrong)
    nothing: Any = None
    with pytest.raises(ConfigurationError, match="window is None"):
        LangSmithFeedbackEventTrigger(project="shop", condition="count(x) > 1", window=nothing)


def test_waiting_longer_each_time() -> None:
    """With ``exponential_backoff`` each pause is twice the last, up to ``max_wait``."""
    trigger = LangSmithSettledTrigger(**{**WRITTEN[1][1], "exponential_backoff": True, "max_wait": 300.0})
    assert [trigger._pause(look) for look in range(5)] == [60.0, 120.0, 240.0, 300.0, 300.0]
