"""Fixtures that run sensors as a worker and a triggerer do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_langsmith.airflow_sdk import TaskDeferred
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.waiting.watch import Clock

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a connection to a stand-in into the environment."""

    def put(langsmith: LangSmithStandIn, version: str = "auto", **extra: Any) -> None:
        settings = {"api_version": version, "requests_per_10s": 100_000, "max_retries": 0, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(**settings))

    return put


class TaskInstance:
    """The part of Airflow's task instance that sensors use: XComs, and the time of the first reschedule."""

    map_index = -1
    try_number = 1

    def __init__(self, first_reschedule: datetime | None = None) -> None:
        self.xcoms: dict[str, Any] = {}
        self.first_reschedule = first_reschedule

    def xcom_push(self, key: str, value: Any) -> None:
        """Store a value."""
        self.xcoms[key] = value

    def xcom_pull(self, key: str, *, map_indexes: int) -> Any:
        """Return it; without an index, Airflow returns a list of those of all mapped tasks."""
        assert map_indexes == self.map_index
        return self.xcoms.get(key)

    def get_first_reschedule_date(self, _: Any) -> datetime | None:
        """Return when the first look was over."""
        return self.first_reschedule


def context(**more: Any) -> Any:
    """Return the context of a scheduled run of the first day."""
    dag_run = SimpleNamespace(run_type="scheduled", run_after=START + DAY, conf={})
    bounds = {"data_interval_start": START, "data_interval_end": START + DAY}
    return {**bounds, "dag_run": dag_run, "ti": TaskInstance(), **more}


class TurnedClock(Clock):
    """A clock that moves only by ``sleep``, or if a test sets it."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        """Return the time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Turn the clock instead of waiting."""
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> TurnedClock:
    """A clock that the test moves, long after the first day."""
    return TurnedClock(START + 2 * DAY)


@pytest.fixture
def instance() -> TaskInstance:
    """A task instance, to read what a sensor stored."""
    return TaskInstance()


@pytest.fixture
def run() -> Callable[..., Any]:
    """
    Render and execute a sensor, as a worker does.

    If it defers, its trigger is serialized and rebuilt, runs to its event in an event loop, and the sensor resumes.
    ``before`` is called with the trigger, before it runs.
    """

    def run(sensor: Any, before: Callable[[Any], None] = lambda _: None, **more: Any) -> Any:
        task_context = context(**more)
        sensor.render_template_fields(task_context)
        try:
            return sensor.execute(context=task_context)
        except TaskDeferred as deferred:
            path, arguments = deferred.trigger.serialize()
            module, _, name = path.rpartition(".")
            trigger = getattr(import_module(module), name)(**arguments)
            before(trigger)
            event = asyncio.run(first(trigger)).payload
            return sensor.resume_execution(deferred.method_name, {"event": event}, task_context)

    return run


@pytest.fixture
def context_of() -> Callable[..., Any]:
    """Return the function that makes contexts."""
    return context


async def first(trigger: Any) -> Any:
    """Run a trigger to its only event."""
    (event,) = [event async for event in trigger.run()]
    return event
