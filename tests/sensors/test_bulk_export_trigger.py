"""The trigger of a bulk export: what it is made of, and when it cancels the export."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.airflow_sdk import TaskDeferred
from airflow_langsmith.operators import LangSmithBulkExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.triggers import LangSmithBulkExportTrigger
from tests.sensors.conftest import first

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

TaskLog = Callable[[], list[tuple[str, str]]]


class Shop:
    """A project with a day of runs, and a task that exports it in bulk on the triggerer."""

    def __init__(self, langsmith: LangSmithStandIn, folder: Path, run: Callable[..., Any]) -> None:
        self.langsmith, self._run = langsmith, run
        langsmith.add_run(project="shop", start_time=START, end_time=START)
        langsmith.bulk.running_seconds = 1e6
        self.destination_id = langsmith.add_bulk_destination(folder / "bucket")

    def deferred(self, **arguments: Any) -> TaskDeferred:
        """Run the task until it defers."""
        task = LangSmithBulkExportOperator(
            task_id="bulk",
            project="shop",
            bulk_destination_id=self.destination_id,
            deferrable=True,
            poll_interval=0.02,
            **arguments,
        )
        with pytest.raises(TaskDeferred) as deferred:
            self._run(task)
        self.langsmith.requests.clear()
        return deferred.value

    def trigger(self, **arguments: Any) -> Any:
        """Return the trigger of the task, as a triggerer makes it."""
        _, state = self.deferred(**arguments).trigger.serialize()
        return LangSmithBulkExportTrigger(**json.loads(json.dumps(state)))

    @property
    def statuses(self) -> list[str]:
        """The statuses of all exports."""
        return [export["status"] for export in self.langsmith.bulk_exports]

    async def looks(self, number: int) -> None:
        """Wait until an export was looked at so many times."""
        while len(self.langsmith.requests) < number:  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.005)


@pytest.fixture
def shop(langsmith: LangSmithStandIn, connect: Callable[..., None], tmp_path: Path) -> Shop:
    """A project that can be exported in bulk, and a connection to it."""
    connect(langsmith)

    def run(task: Any) -> Any:
        context: Any = {"data_interval_start": START, "data_interval_end": START + DAY}
        return task.execute(context)

    return Shop(langsmith, tmp_path, run)


def test_a_trigger_holds_ids_and_a_deadline(shop: Shop) -> None:
    """A trigger is stored in Airflow's database: it names the connection and the export, and no key or host."""
    before = datetime.now(UTC)
    deferred = shop.deferred(timeout="2h")
    path, state = deferred.trigger.serialize()
    deadline = datetime.fromisoformat(state.pop("deadline"))
    began = datetime.fromisoformat(state["event_extra"].pop("began"))
    assert re.fullmatch("[0-9a-f]{16}", state["event_extra"].pop("request"))
    (export,) = shop.langsmith.bulk_exports
    assert path == "airflow_langsmith.triggers.LangSmithBulkExportTrigger"
    assert state == {
        "langsmith_conn_id": "langsmith_default",
        "selection": {"export_id": export["id"]},
        "watched": {},
        "poke_interval": 0.02,
        "exponential_backoff": False,
        "max_wait": None,
        "max_failures": 5,
        "cancel_on_kill": True,
        "event_extra": {"bulk_export_id": export["id"], "is_own": True},
    }
    assert deadline - began == timedelta(hours=2)
    assert before <= deadline - timedelta(hours=2) <= datetime.now(UTC)
    assert deferred.timeout is not None
    assert timedelta(hours=2) <= deferred.timeout < timedelta(hours=2.1)  # Airflow's own limit is later
    stored = json.dumps(deferred.trigger.serialize())
    assert shop.langsmith.api_key not in stored
    assert shop.langsmith.url not in stored


def test_two_triggerers_at_once(shop: Shop) -> None:
    """The same trigger on two triggerers gives the same event twice, and changes nothing in LangSmith."""
    trigger = shop.trigger()
    same = LangSmithBulkExportTrigger(**trigger.serialize()[1])

    async def both() -> list[Any]:
        events = asyncio.gather(first(trigger), first(same))
        await shop.looks(4)
        shop.langsmith.bulk.running_seconds = 0.0
        return [event.payload for event in await events]

    one_event, other_event = asyncio.run(both())
    assert one_event == other_event
    assert one_event["state"] == "met"
    assert {request.method for request in shop.langsmith.requests} == {"GET"}
    assert shop.statuses == ["Completed"]


def test_a_triggerer_that_stops_cancels_nothing(shop: Shop) -> None:
    """A rolling restart cancels the trigger and not the export, which the next triggerer waits for."""
    trigger = shop.trigger()

    async def story() -> None:
        task = asyncio.create_task(first(trigger))
        await shop.looks(2)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
        await trigger.cleanup()

    asyncio.run(story())
    assert shop.statuses == ["Running"]
    assert {request.method for request in shop.langsmith.requests} == {"GET"}


@pytest.mark.parametrize("failures", [0, 2])
def test_a_task_that_a_user_ends_cancels_its_export(shop: Shop, failures: int) -> None:
    """Airflow says so from 3.3 on. A failure or two do not matter."""
    trigger = shop.trigger()
    if failures:
        shop.langsmith.misbehave("status", path="", method="PATCH", times=failures)
    asyncio.run(trigger.on_kill())
    assert shop.statuses == ["Cancelled"]


def test_what_is_not_the_tasks_own_lives_on(shop: Shop) -> None:
    """An adopted export, and one with ``cancel_on_kill=False``, is not cancelled."""
    asyncio.run(shop.trigger(cancel_on_kill=False).on_kill())
    asyncio.run(shop.trigger().on_kill())  # it adopts the export of the other task
    assert shop.statuses == ["Running"]
    assert shop.langsmith.requests == []


def test_an_export_that_has_ended_is_left_as_it_is(shop: Shop, task_log: TaskLog) -> None:
    """A user who ends a task at the end of its export gets no warning."""
    trigger = shop.trigger()
    shop.langsmith.bulk.running_seconds = 0.0
    asyncio.run(trigger.on_kill())
    assert shop.statuses == ["Completed"]
    assert not [line for _, line in task_log() if "cancelled" in line]


def test_an_export_that_cannot_be_cancelled_is_named(
    shop: Shop, task_log: TaskLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of the trigger says that the export may still run."""
    trigger = shop.trigger()
    shop.langsmith.misbehave("status", path="", method="PATCH", times=None, status=403)
    asyncio.run(trigger.on_kill())
    (export,) = shop.langsmith.bulk_exports
    lines = [*caplog.messages, *(line for _, line in task_log())]  # where they are depends on Airflow's release
    assert f"Bulk export {export['id']} may still run: it was not cancelled" in lines
    assert f"403 to PATCH /api/v1/bulk-exports/{export['id']}" in lines
    assert shop.statuses == ["Running"]


def test_an_export_that_takes_too_long(shop: Shop) -> None:
    """The event after the deadline has the last look; the task fails, and its retry waits for the same export."""
    event = asyncio.run(first(shop.trigger(timeout=0.1))).payload
    assert event["state"] == "timeout"
    assert "is Running" in event["line"]
    assert shop.statuses == ["Running"]
