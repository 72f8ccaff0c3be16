"""How a sensor ends is the same in a worker and on the triggerer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_langsmith.airflow_sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow_langsmith.sensors import LangSmithFeedbackSensor
from airflow_langsmith.sensors.base import LangSmithSensor
from airflow_langsmith.testing import LangSmithStandIn
from tests.wording import says

try:
    from airflow.sdk.execution_time.timeout import timeout
except ImportError:  # Airflow 3.0
    from airflow.utils.timeout import timeout  # type: ignore[import-not-found, no-redef]

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}
SOFT = ("none", "silent_fail", "soft_fail", "never_fail")
ALWAYS_FAILS = dict.fromkeys(SOFT, "failed")

# Event -> arguments, and how the task ends with each of SOFT. "retried" is a failure that Airflow tries again.
CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "the condition holds": ({"condition": "count(user_score) >= 1"}, dict.fromkeys(SOFT, "success")),
    "the key is wrong": ({"langsmith_conn_id": "wrong"}, ALWAYS_FAILS),
    "the key becomes wrong": ({}, ALWAYS_FAILS),
    "the project is unknown": ({"project": "nowhere"}, ALWAYS_FAILS),
    "the filter is refused": ({"filter": 'eq(runtype, "llm")'}, ALWAYS_FAILS),
    "the condition is wrong": ({"condition": "{{ 'coverage(x) > 1' }}"}, ALWAYS_FAILS),
    "fail_when holds": (
        {"fail_when": "count(user_score) == 1"},
        {"none": "failed", "silent_fail": "failed", "soft_fail": "skipped", "never_fail": "skipped"},
    ),
    "it takes too long": (
        {"timeout": 0.3},
        {"none": "failed", "silent_fail": "failed", "soft_fail": "skipped", "never_fail": "failed"},
    ),
    "LangSmith is down": (
        {},
        {"none": "retried", "silent_fail": "success", "soft_fail": "retried", "never_fail": "skipped"},
    ),
    "LangSmith goes down": (
        {"timeout": 1.5},
        {"none": "retried", "silent_fail": "failed", "soft_fail": "retried", "never_fail": "skipped"},
    ),
}

Connect = Callable[..., None]
Ended = Callable[[Callable[[], LangSmithSensor]], str]


@pytest.fixture
def wrong_key(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a connection with a wrong key into the environment."""
    connection = json.loads(langsmith.connection(max_retries=0)) | {"password": "lsv2_pt_wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(connection))


@pytest.fixture
def ended(run: Callable[..., Any], instance: Any) -> Ended:
    """Run a task to its end, also over reschedules, and return its state in Airflow."""

    def once(sensor: LangSmithSensor, store: dict[str, Any]) -> None:
        more = {"ti": instance, "task_state_store": store}
        if sensor.execution_timeout is None or sensor.deferrable:
            run(sensor, **more)
        else:
            with timeout(sensor.execution_timeout.total_seconds()):  # type: ignore[no-untyped-call]  # as Airflow's task runner does
                run(sensor, **more)

    def ended(make: Callable[[], LangSmithSensor]) -> str:
        store = Store()
        while True:
            try:
                once(make(), store)
            except AirflowRescheduleException:
                instance.first_reschedule = instance.first_reschedule or datetime.now(UTC)
                continue
            except AirflowSkipException:
                return "skipped"
            except (AirflowFailException, AirflowSensorTimeout):
                return "failed"
            except (Exception, AirflowTaskTimeout):  # noqa: BLE001  # so does the task runner
                return "retried"
            return "success"

    return ended


class Store(dict[str, Any]):
    """The state of a task that Airflow stores between processes."""

    set = dict.__setitem__


@pytest.mark.usefixtures("wrong_key")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft", SOFT)
@pytest.mark.parametrize("case", CASES)
def test_how_a_wait_ends(
    langsmith: LangSmithStandIn, connect: Connect, ended: Ended, mode: str, soft: str, case: str
) -> None:
    """Errors that no retry cures fail, outages are retried, and only timeouts and ``fail_when`` are skipped."""
    connect(langsmith)
    for score in (None, 1):
        run = langsmith.add_run(project="shop", start_time=START + HOUR, end_time=START + HOUR)
        if score:
            langsmith.add_feedback(run, score=score)
    arguments, states = CASES[case]
    condition = "count(user_score) >= 9"
    if case == "the key becomes wrong":
        langsmith.misbehave("status", after=2, status=401, body={"error": "Forbidden"}, times=None)
    if case == "LangSmith is down":
        condition = "count(user_score) >= 1"
        langsmith.misbehave("status", status=503, times=9)
    if case == "LangSmith goes down":
        langsmith.misbehave("status", after=2, status=503, times=None)

    assert ended(lambda: sensor(soft, **{"condition": condition, **MODES[mode], **arguments})) == states[soft]


def sensor(soft: str = "none", **arguments: Any) -> LangSmithFeedbackSensor:
    """Return a sensor that looks often."""
    flag = {} if soft == "none" else {soft: True}
    plain: Any = {"task_id": "wait", "project": "shop", "poke_interval": 0.02, "timeout": 20, "deferrable": False}
    return LangSmithFeedbackSensor(**{**plain, "condition": "count(user_score) >= 9", **flag, **arguments})


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # a timeout may interrupt a request
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # or its finalizer
@pytest.mark.parametrize("mode", ["poke", "deferred"])
@pytest.mark.parametrize("soft", SOFT)
def test_an_execution_timeout(
    langsmith: LangSmithStandIn, connect: Connect, ended: Ended, mode: str, soft: str
) -> None:
    """``execution_timeout``, if it is earlier, ends a sensor for a retry, and is never a skip."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    short, long = timedelta(seconds=0.3), timedelta(seconds=20)
    earlier, later = {"execution_timeout": short, "timeout": long}, {"execution_timeout": long, "timeout": short}
    assert ended(lambda: sensor(soft, **MODES[mode], **earlier)) == "retried"
    assert ended(lambda: sensor(soft, **MODES[mode], **later)) == ("skipped" if soft == "soft_fail" else "failed")


def test_what_an_overdue_task_says(langsmith: LangSmithStandIn, connect: Connect, run: Callable[..., Any]) -> None:
    """The error of a timeout has its seconds and the last figures, in a worker and on the triggerer."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    message = says(
        r"^Condition not met within 0 s\. Last check: waiting: count\(user_score\) 0 \(needs >= 9: 9 more\)$"
    )
    for mode in ("poke", "deferred"):
        with pytest.raises(AirflowSensorTimeout, match=message):
            run(sensor(timeout=0.1, **MODES[mode]))
        with pytest.raises(AirflowSkipException, match=says(r"^soft_fail is set\. Condition not met within 0 s\.")):
            run(sensor("soft_fail", timeout=0.1, **MODES[mode]))

        # No alarm rings here, as if Airflow's had rung in a finalizer, where its exception is lost.
        for soft in SOFT:
            with pytest.raises(AirflowTaskTimeout, match=message):
                run(sensor(soft, execution_timeout=timedelta(seconds=0.1), **MODES[mode]))


def test_no_triggerer(instance: Any) -> None:
    """If no triggerer runs, Airflow ends the deferral, and the earlier deadline decides how."""
    late, crashed = {"error": "Trigger timeout"}, {"error": "Trigger failure"}

    def resume(next_kwargs: Any, soft: str = "none", **arguments: Any) -> None:
        waiting = sensor(soft, deferrable=True, **arguments)
        waiting.resume_execution("__fail__", next_kwargs, {"ti": instance})

    with pytest.raises(AirflowSensorTimeout, match="none on the triggerer"):
        resume(late)
    with pytest.raises(AirflowSkipException):
        resume(late, "soft_fail")
    for soft in SOFT:
        with pytest.raises(AirflowTaskTimeout):
            resume(late, soft, execution_timeout=timedelta(seconds=1))
    with pytest.raises(AirflowException, match=r"^Trigger failure$"):
        resume(crashed, "soft_fail")
    with pytest.raises(AirflowSkipException):
        resume(crashed, "never_fail")
    with pytest.raises(AirflowFailException, match="no known kind"):
        sensor("soft_fail").resume_execution("execute_complete", {"event": {}}, {"ti": instance})


def test_when_a_deferral_ends(
    langsmith: LangSmithStandIn, connect: Connect, instance: Any, context_of: Callable[..., Any]
) -> None:
    """``timeout`` counts from the first look, for the trigger and for Airflow's own deadline."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)

    def deferral(**arguments: Any) -> tuple[timedelta, timedelta]:
        begun = datetime.now(UTC)
        waiting = sensor(deferrable=True, **{"timeout": 2 * HOUR, **arguments})
        with pytest.raises(TaskDeferred) as deferred:
            waiting.execute(context_of(ti=instance))
        assert isinstance(deferred.value.timeout, timedelta)
        return datetime.fromisoformat(deferred.value.trigger.deadline) - begun, deferred.value.timeout

    second, grace = timedelta(seconds=1), timedelta(minutes=2)
    for arguments, first_look, expected in (
        ({}, None, 2 * HOUR),
        ({"execution_timeout": HOUR}, None, HOUR),
        ({"execution_timeout": 3 * HOUR}, None, 2 * HOUR),
        ({"mode": "reschedule"}, datetime.now(UTC) - HOUR, HOUR),
    ):
        instance.first_reschedule = first_look
        deadline, airflows_own = deferral(**arguments)
        assert abs(deadline - expected) < 20 * second
        assert abs(airflows_own - expected - grace) < 20 * second
