"""The log of a sensor: a line for each change, and one every ten minutes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_langsmith.airflow_sdk import TaskDeferred
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.triggers import (
    LangSmithFeedbackEventTrigger,
    LangSmithFeedbackTrigger,
    LangSmithSettledTrigger,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Connect = Callable[..., None]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Read the lines about looks that were logged since the last time."""

    def read(*parts: str) -> list[str]:
        return [line for line in capsys.readouterr().out.splitlines() if any(part in line for part in parts)]

    return read


def ended(langsmith: LangSmithStandIn) -> str:
    """Add a run that has ended."""
    return langsmith.add_run(project="shop", start_time=START + HOUR, end_time=START + HOUR)


def test_a_worker_logs_what_changed(
    langsmith: LangSmithStandIn,
    connect: Connect,
    context_of: Any,
    clock: Any,
    logged: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Sixty looks, one a minute, log seven lines, and one more for each change."""

    class Sensor(LangSmithFeedbackSensor):
        _clock = clock

    connect(langsmith)
    run = ended(langsmith)
    sensor = Sensor(task_id="wait", project="shop", condition="count(user_score) >= 9")

    def looks(count: int) -> int:
        for _ in range(count):
            sensor.poke(context)
            clock.time += MINUTE
        return len(logged("waiting:"))

    context = context_of()
    assert looks(61) == 7
    langsmith.add_feedback(run, score=1)
    assert looks(1) == 1
    assert looks(9) == 0
    assert looks(1) == 1
    langsmith.misbehave("status", status=503, times=None)
    sensor.silent_fail = True
    for _ in range(21):
        sensor.poke(context)
        clock.time += MINUTE
    assert len(logged("Look failed: 503")) == 3
    assert ["using API" in line for line in caplog.messages].count(True) == 1


def test_time_that_passes_is_no_news(
    langsmith: LangSmithStandIn, connect: Connect, context_of: Any, clock: Any, logged: Any
) -> None:
    """A look after which only the quiet seconds differ logs no line."""

    class Sensor(LangSmithSettledSensor):
        _clock = clock

    connect(langsmith)
    ended(langsmith)
    sensor = Sensor(task_id="wait", project="shop", quiet_for="1d")
    for minute in range(21):
        if minute == 15:
            ended(langsmith)
        sensor.poke(context_of())
        clock.time += MINUTE
    lines = logged("waiting:")
    assert [line.partition("waiting: ")[2].partition(" [")[0] for line in lines] == [
        f"0 of {runs} runs are pending; run count unchanged for {seconds} s (needs 86400 s)"
        for runs, seconds in ((1, 0), (1, 600), (2, 0))
    ]


def test_a_rescheduled_sensor_remembers_its_last_line(
    langsmith: LangSmithStandIn, connect: Connect, run: Any, clock: Any, instance: Any, logged: Any
) -> None:
    """From Airflow 3.3 on, rescheduled looks log like one process; a new attempt starts a new log."""

    class Sensor(LangSmithFeedbackSensor):
        _clock = clock

    class Store(dict[str, Any]):
        set = dict.__setitem__

    connect(langsmith)
    ended(langsmith)
    instance.first_reschedule, store = datetime.now(UTC), Store()

    def looks(count: int, **more: Any) -> int:
        for _ in range(count):
            sensor = Sensor(task_id="wait", project="shop", condition="count(user_score) >= 9", mode="reschedule")
            with pytest.raises(AirflowRescheduleException):
                run(sensor, ti=instance, **more)
            clock.time += MINUTE
            assert json.loads(json.dumps(store)) == store
        return len(logged("waiting:"))

    assert looks(21, task_state_store=store) == 3
    instance.try_number = 2
    assert looks(2, task_state_store=store) == 1
    assert looks(2) == 2  # before Airflow 3.3


async def until_event(trigger: Any) -> Any:
    """Run a trigger to its event."""
    events: AsyncIterator[Any] = trigger.run()
    return (await anext(events)).payload


def test_a_triggerer_logs_what_changed(
    langsmith: LangSmithStandIn, connect: Connect, context_of: Any, clock: Any, logged: Any
) -> None:
    """On a triggerer sixty looks, one a minute, log seven lines, also if LangSmith is down."""
    turned = clock

    class FeedbackTrigger(LangSmithFeedbackTrigger):
        clock = turned

    class SettledTrigger(LangSmithSettledTrigger):
        clock = turned

    connect(langsmith)
    ended(langsmith)

    def handed_over(sensor: Any) -> dict[str, Any]:
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(context_of())
        arguments: dict[str, Any] = deferred.value.trigger.serialize()[1]
        logged()
        return {**arguments, "deadline": (clock.now() + HOUR).isoformat()}

    plain: Any = {"task_id": "wait", "project": "shop", "deferrable": True, "poke_interval": 60, "silent_fail": True}
    waits = handed_over(LangSmithFeedbackSensor(condition="count(user_score) >= 9", **plain))
    assert asyncio.run(until_event(FeedbackTrigger(**waits)))["state"] == "timeout"
    assert len(logged("waiting:")) == 6  # the sensor has made the first look

    waits = handed_over(LangSmithSettledSensor(quiet_for="2d", **plain))
    assert asyncio.run(until_event(SettledTrigger(**waits)))["state"] == "timeout"
    assert len(logged("waiting:")) == 6

    waits = handed_over(LangSmithFeedbackSensor(condition="count(user_score) >= 9", **plain))
    langsmith.misbehave("status", status=503, times=None)
    event = asyncio.run(until_event(FeedbackTrigger(**waits)))
    assert (event["state"], "503" in event["line"]) == ("timeout", True)
    assert len(logged("Look failed")) == 6


def test_a_watcher_logs_what_changed(langsmith: LangSmithStandIn, connect: Connect, clock: Any, logged: Any) -> None:
    """An event trigger logs seven lines for sixty looks, and one for the change that fires it."""

    class HourClock(type(clock)):  # type: ignore[misc]
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if self.now() == began + HOUR + MINUTE:
                langsmith.add_feedback(run, score=1)

    connect(langsmith)
    began = START + 2 * HOUR
    run = ended(langsmith)

    class EventTrigger(LangSmithFeedbackEventTrigger):
        clock = HourClock(began)

    trigger = EventTrigger(project="shop", condition="count(user_score) >= 1", window="1d", poke_interval=60)
    assert asyncio.run(until_event(trigger))["figures"] == {"count(user_score)": 1}
    assert len(logged("waiting:")) == 7
