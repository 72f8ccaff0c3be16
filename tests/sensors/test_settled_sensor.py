"""The sensor that waits until a window is complete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_langsmith.airflow_sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
)
from airflow_langsmith.sensors import LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.waiting import Selection, SettledWatch
from airflow_langsmith.windows import TimeWindow
from tests.conftest import ClientOf

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])
WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])

Run = Callable[..., Any]
Connect = Callable[..., None]


def sensor(**arguments: Any) -> LangSmithSettledSensor:
    """Return a sensor with short pauses."""
    plain = {"task_id": "wait", "project": "shop", "poke_interval": 0.05, "timeout": 20, "deferrable": False}
    return LangSmithSettledSensor(**{"quiet_for": "1s", **plain, **arguments})


@BOTH
@WAYS
def test_a_window_at_rest(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, version: str, deferrable: bool
) -> None:
    """A window is complete if its runs have ended and no more come; runs outside do not count."""
    connect(langsmith, version)
    for number in range(3):
        langsmith.add_run(project="shop", start_time=START + number * HOUR, end_time=START + DAY)
    langsmith.add_run(project="shop", start_time=START + DAY)  # pending, and of the next day
    result = run(sensor(deferrable=deferrable))
    assert {name: result[name] for name in ("runs", "pending", "given_up")} == {"runs": 3, "pending": 0, "given_up": 0}
    assert result["quiet_seconds"] >= 1
    assert langsmith.project_id("shop") in result["url"]


@BOTH
def test_one_look_after_the_other(langsmith: LangSmithStandIn, client_of: ClientOf, clock: Any, version: str) -> None:
    """It waits for pending and late runs, and names runs that it gives up after ``pending_timeout``."""
    client = client_of(langsmith, version)
    selection = Selection(project="shop", window=TimeWindow(START, START + DAY), closes=START + DAY + HOUR)
    watch = SettledWatch(selection=selection, quiet_for=600.0, pending_timeout=3 * 86400.0, clock=clock)
    hangs = langsmith.add_run(project="shop", start_time=START, name="hangs")
    slow = langsmith.add_run(project="shop", start_time=START + 23 * HOUR, name="slow")

    def look(minutes: int) -> tuple[str, str]:
        clock.time += minutes * MINUTE
        outcome = client.drive(watch.look(client.negotiator))
        return outcome.state, outcome.line

    clock.time = START + DAY + 30 * MINUTE
    look(0)  # finds the project
    requests = client.requests
    state, line = look(29)
    assert (state, client.requests) == ("waiting", requests)
    assert (START + DAY + HOUR).isoformat() in line

    state, line = look(1)
    assert state == "waiting"
    assert f"2 of 2 runs are pending (oldest: 'hangs' {hangs}, started 2026-03-01" in line
    langsmith.update_run(slow, end_time=clock.time)
    state, line = look(60)
    assert (state, "1 of 2 runs are pending" in line) == ("waiting", True)
    langsmith.add_run(project="shop", start_time=START + HOUR, end_time=START + HOUR, name="late")
    clock.time = START + 3 * DAY
    state, line = look(0)
    assert (state, f"1 given up after 3 days ({hangs})" in line) == ("waiting", True)
    state, line = look(9)
    assert (state, line.rpartition("; ")[2]) == ("waiting", "run count unchanged for 540 s (needs 600 s)")
    watch = SettledWatch.deserialize(selection, watch.serialize(), clock)
    assert look(1)[0] == "met"


@BOTH
def test_what_a_look_costs(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """A look takes three requests for any number of runs, and the first look one more to find the project."""
    plain = {"name": "answer", "run_type": "chain", "project_name": "shop", "start_time": START, "end_time": START}
    langsmith.load({"id": str(UUID(int=number + 1)), **plain} for number in range(3000))
    client = client_of(langsmith, version)
    client.api_version()
    selection = Selection(project="shop", window=TimeWindow(START, START + DAY), closes=START + DAY)
    watch = SettledWatch(selection=selection, quiet_for=0.0)
    before = client.requests
    for expected in (4, 7):
        assert client.drive(watch.look(client.negotiator)).state == "met"
        assert client.requests - before == expected


class Store(dict[str, Any]):
    """The state of a task that Airflow stores between processes."""

    set = dict.__setitem__


def test_rescheduled_looks_remember(langsmith: LangSmithStandIn, connect: Connect, run: Run) -> None:
    """With ``mode="reschedule"`` a look continues with the stored state of the last one."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    store = Store()
    often: Any = {"mode": "reschedule", "poke_interval": 0.01}

    def look(**arguments: Any) -> Any:
        return run(sensor(**often, **arguments), task_state_store=store)

    with pytest.raises(AirflowRescheduleException):
        look(quiet_for="1h")
    (state,) = store.values()
    assert state["count"] == 1
    state["since"] = (datetime.now(UTC) - 2 * HOUR).isoformat()
    with pytest.raises(AirflowRescheduleException):
        look(quiet_for="3h")  # the state was stored for quiet_for="1h"
    state["since"], store["langsmith_watch"] = (datetime.now(UTC) - 2 * HOUR).isoformat(), state
    assert look(quiet_for="1h")["quiet_seconds"] >= 7200
    store.clear()
    with pytest.raises(AirflowFailException, match="deferrable=True"):
        run(sensor(**often))


@pytest.mark.parametrize(
    "arguments",
    [
        {"quiet_for": "soon"},
        {"quiet_for": None},
        {"pending_timeout": "a while"},
        {"pending_timeout": timedelta(0)},
        {"lag": "-1h"},
    ],
)
def test_what_cannot_be_meant(langsmith: LangSmithStandIn, connect: Connect, run: Run, arguments: Any) -> None:
    """A wrong length of time is an import error, or fails the task if it comes from a template."""
    connect(langsmith)
    ((name, value),) = arguments.items()
    with pytest.raises(AirflowFailException, match=name):
        run(sensor(**arguments))
    with pytest.raises(AirflowFailException, match=name):
        run(sensor(**{name: "{{ value }}"}), value=value)
    assert langsmith.requests == []


@WAYS
def test_a_run_that_hangs(langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool) -> None:
    """A sensor waits for a pending run until it is older than ``pending_timeout``, by default a day."""
    connect(langsmith)
    hangs = langsmith.add_run(project="shop", start_time=START)
    with pytest.raises(AirflowSensorTimeout):
        run(sensor(pending_timeout=None, timeout=0.3, quiet_for="0s", deferrable=deferrable))
    result = run(sensor(quiet_for="0s", deferrable=deferrable))
    assert (result["pending"], result["given_up_runs"]) == (0, [hangs])
