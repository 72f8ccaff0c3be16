"""Sensors as a worker and a triggerer run them."""

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

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a connection to a stand-in into the environment."""

    def put(langsmith: LangSmithStandIn, version: str = "auto", **extra: Any) -> None:
        given = {"api_version": version, "requests_per_10s": 100_000, "max_retries": 0, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(**given))

    return put


def context(**more: Any) -> Any:
    """Make the context of a scheduled run of the first day."""
    dag_run = SimpleNamespace(run_type="scheduled", run_after=START + DAY)
    return {"data_interval_start": START, "data_interval_end": START + DAY, "dag_run": dag_run, **more}


@pytest.fixture
def run() -> Callable[..., Any]:
    """
    Render and execute a sensor, as a worker does.

    Where it defers, its trigger is written down, made anew from that in an event loop, and runs until its event, with
    which the sensor goes on. ``before`` is called when it has deferred, with the trigger.
    """

    def run(sensor: Any, before: Callable[[Any], None] = lambda _: None, **more: Any) -> Any:
        given = context(**more)
        sensor.render_template_fields(given)
        try:
            return sensor.execute(context=given)
        except TaskDeferred as deferred:
            path, arguments = deferred.trigger.serialize()
            module, _, name = path.rpartition(".")
            trigger = getattr(import_module(module), name)(**arguments)
            before(trigger)
            event = asyncio.run(first(trigger)).payload
            return sensor.resume_execution(deferred.method_name, {"event": event}, given)

    return run


async def first(trigger: Any) -> Any:
    """Run a trigger to its event, which is its only one."""
    (event,) = [event async for event in trigger.run()]
    return event
