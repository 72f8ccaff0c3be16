"""The sensor that waits for feedback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from airflow.exceptions import AirflowRescheduleException
from langsmith import Client

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.airflow_sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_langsmith.sensors import LangSmithFeedbackSensor
from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])
WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])

Run = Callable[..., Any]
Connect = Callable[..., None]


def sensor(**arguments: Any) -> LangSmithFeedbackSensor:
    """Return a sensor with short pauses."""
    plain = {"task_id": "wait", "project": "shop", "poke_interval": 0.05, "timeout": 20, "deferrable": False}
    return LangSmithFeedbackSensor(**{"condition": "coverage(user_score) >= 0.9", **plain, **arguments})


def scored(langsmith: LangSmithStandIn, *scores: float | None, **fields: Any) -> list[str]:
    """Add runs of the first day, with these scores or without feedback."""
    runs = []
    for score in scores:
        runs.append(langsmith.add_run(project="shop", start_time=START + HOUR, end_time=START + HOUR, **fields))
        if score is not None:
            langsmith.add_feedback(runs[-1], score=score)
    return runs


@BOTH
@WAYS
def test_it_goes_on_with_the_figures(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, version: str, deferrable: bool
) -> None:
    """The result has the exact figures, the window and a link, and is JSON."""
    connect(langsmith, version)
    runs = scored(langsmith, 1, 1, 0, 1, None)
    langsmith.add_feedback(runs[0], score=0.5)  # a second opinion
    langsmith.add_feedback(runs[1], key="label", value="good")
    langsmith.add_run(project="shop", start_time=START + DAY)
    result = run(
        sensor(
            condition="coverage(user_score) >= 0.8 and share(label, 'good') == 1 and min(user_score) < 0.1",
            fail_when="avg(user_score) < 0.7",
            deferrable=deferrable,
        )
    )
    assert result["figures"] == {
        "coverage(user_score)": 0.8,
        'share(label, "good")': 1.0,
        "min(user_score)": 0.0,
        "avg(user_score)": 0.7,
    }
    assert result["total"] == 5
    assert result["feedback"]["user_score"] == {
        "count": 5,
        "runs": 4,
        "coverage": 0.8,
        "avg": 0.7,
        "min": 0.0,
        "max": 1.0,
    }
    assert (result["window_start"], result["window_end"]) == (START.isoformat(), (START + DAY).isoformat())
    assert langsmith.project_id("shop") in result["url"]
    assert len(json.dumps(result)) < 2000


@BOTH
@WAYS
def test_it_counts_labels_and_objects(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, version: str, deferrable: bool
) -> None:
    """Feedback with a label, an object, or a score and a label counts as one piece each."""
    connect(langsmith, version)
    runs = scored(langsmith, *[None] * 4)
    for value in ("good", "good", "bad", {"clarity": 3}):
        langsmith.add_feedback(runs[0], key="category", value=value)
    langsmith.add_feedback(runs[1], key="category", value="good")
    langsmith.add_feedback(runs[2], key="category", score=1, value="good")
    langsmith.add_feedback(runs[2], key="rubric", value={"clarity": 3})
    langsmith.add_feedback(runs[3], key="rubric", score=1)
    langsmith.add_feedback(runs[3], key="rubric", value={"clarity": 3})
    condition = "count(category) >= 6 and share(category, 'good') > 0.6 and count(rubric) > 2 and runs(rubric) > 1"
    result = run(sensor(condition=condition, deferrable=deferrable))
    assert result["figures"] == {
        "count(category)": 6,
        'share(category, "good")': pytest.approx(4 / 6),
        "count(rubric)": 3,
        "runs(rubric)": 2,
    }


def when(langsmith: LangSmithStandIn, requests: int, do: Callable[[], object]) -> threading.Thread:
    """Call a function once, after this number of requests for runs."""

    def watch() -> None:
        tick = threading.Event()
        while len(langsmith.requests_to("/runs/query")) < requests:
            tick.wait(0.005)
        do()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@BOTH
@WAYS
def test_it_waits_for_what_people_say_meanwhile(
    langsmith: LangSmithStandIn,
    connect: Connect,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    version: str,
    deferrable: bool,
) -> None:
    """It succeeds when new feedback fulfils the condition, and logs until then what is missing."""
    connect(langsmith, version)
    runs = scored(langsmith, 1, None, None)
    official, project = Client(api_url=langsmith.url, api_key=langsmith.api_key), langsmith.project_id("shop")

    def judge(run: str) -> None:
        official.create_feedback(run, key="user_score", score=1, trace_id=run, session_id=project)
        official.flush()

    people = [when(langsmith, 5, lambda: judge(runs[1])), when(langsmith, 15, lambda: judge(runs[2]))]
    result = run(sensor(condition="coverage(user_score) == 1", deferrable=deferrable))
    for person in people:
        person.join()
    assert result["figures"] == {"coverage(user_score)": 1.0}
    output = capsys.readouterr().out
    assert "coverage(user_score) 0.3333 (needs == 1: 2 more of 3 runs)" in output
    assert "coverage(user_score) 0.6667 (needs == 1: 1 more of 3 runs)" in output


def test_rescheduled_looks_need_no_memory(langsmith: LangSmithStandIn, connect: Connect, run: Run) -> None:
    """With ``mode="reschedule"`` each look works in a separate process, on any Airflow 3."""
    connect(langsmith)
    runs = scored(langsmith, 1, None)
    with pytest.raises(AirflowRescheduleException):
        run(sensor(mode="reschedule"))
    langsmith.add_feedback(runs[1], score=0)
    assert run(sensor(mode="reschedule"))["figures"] == {"coverage(user_score)": 1.0}


@WAYS
def test_it_fails_at_once(langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool) -> None:
    """``fail_when`` fails the task for good, with the numbers, whether it holds at first or while the sensor waits."""
    connect(langsmith)
    runs = scored(langsmith, 0, 1, None)
    unlucky = sensor(fail_when="share(user_score, 0) > 0.33", deferrable=deferrable)
    with pytest.raises(AirflowFailException, match=r"share\(user_score, 0\) 0.5 \(> 0.33 yes\)"):
        run(unlucky)
    later = sensor(fail_when="share(user_score, 0) > 0.6", deferrable=deferrable)
    person = when(langsmith, 8, lambda: langsmith.add_feedback(runs[2], score=0))
    with pytest.raises(AirflowFailException, match=r"share\(user_score, 0\) 0.6667"):
        run(later)
    person.join()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"condition": "coverage(user_score) >= 1.5"}, "never"),
        ({"condition": "medain(user_score) > 1"}, "medain"),
        ({"condition": "coverage(user_score) >= "}, r"\^"),
        ({"fail_when": "count(user_score) < 0"}, "fail_when"),
        ({"min_runs": "many"}, "min_runs"),
        ({"min_runs": -1}, "min_runs is -1; it has to be 0 or more"),
        ({"project": "nowhere"}, "nowhere"),
        ({"filter": "eq(name"}, "filter"),
        ({"end_time": START.isoformat()}, "start_time"),
    ],
)
def test_what_cannot_come_true_fails_at_once(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, arguments: Any, why: str
) -> None:
    """A wrong condition, or one that cannot become true, fails the task before the first look."""
    connect(langsmith)
    scored(langsmith, 1)
    with pytest.raises(AirflowFailException, match=why):
        run(sensor(deferrable=True, **arguments))
    assert langsmith.requests_to("/runs/query") == []


@WAYS
def test_a_wrong_condition_is_not_softened(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool
) -> None:
    """``soft_fail`` and ``never_fail`` do not skip a task with a wrong argument."""
    connect(langsmith)
    for soft in ("soft_fail", "never_fail"):
        for wrong in ({"condition": "coverage(x) > 1"}, {"filter": "eq(name"}):
            with pytest.raises(AirflowFailException, match=r"never|filter"):
                run(sensor(**wrong, deferrable=deferrable, **{soft: True}))


@WAYS
@pytest.mark.parametrize(
    ("soft", "ends"), [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)], ids=["", "soft"]
)
def test_a_timeout(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool, soft: Any, ends: type[Exception]
) -> None:
    """A sensor that has waited for its timeout fails, or skips with ``soft_fail``."""
    connect(langsmith)
    scored(langsmith, 1, None)
    with pytest.raises(ends):
        run(sensor(timeout=0.2, deferrable=deferrable, **soft))


@WAYS
@pytest.mark.parametrize("soft", ["soft_fail", "never_fail"])
def test_a_failure_that_is_softened(
    langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool, soft: str
) -> None:
    """With ``soft_fail`` or ``never_fail`` a true ``fail_when`` skips the task, also after a deferral."""
    connect(langsmith)
    runs = scored(langsmith, 1, None)
    person = when(langsmith, 4, lambda: langsmith.add_feedback(runs[1], score=0))
    with pytest.raises(AirflowSkipException):
        run(
            sensor(
                fail_when="min(user_score) == 0",
                condition="count(user_score) > 9",
                deferrable=deferrable,
                **{soft: True},
            )
        )
    person.join()


@WAYS
def test_a_wrong_key(langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool) -> None:
    """A key that LangSmith refuses fails the task for good, from the trigger too."""
    connect(langsmith)
    scored(langsmith, 1, None)

    def revoke(*_: Any) -> None:
        langsmith.misbehave("status", path="/runs/query", status=401, body={"error": "Forbidden"}, times=None)

    if not deferrable:
        revoke()
    with pytest.raises(AirflowFailException, match="401"):
        run(sensor(deferrable=deferrable), revoke)


def test_a_trigger_outlasts_a_bad_moment(langsmith: LangSmithStandIn, connect: Connect, run: Run) -> None:
    """Five retriable failures in a row are no failure of the task; the sixth is, for a retry."""
    connect(langsmith)
    runs = scored(langsmith, 1, None)

    def fail(times: int) -> Callable[..., None]:
        def now(_: Any) -> None:
            langsmith.add_feedback(runs[1], score=1)
            langsmith.misbehave("status", path="/runs/query", status=503, times=times)

        return now

    assert run(sensor(deferrable=True), fail(5))["figures"] == {"coverage(user_score)": 1.0}
    langsmith.add_run(project="shop", start_time=START)
    with pytest.raises(LangSmithException, match="503"):
        run(sensor(deferrable=True), fail(6))
    langsmith.behave()
    scored(langsmith, *[1] * 20)
    assert run(sensor(deferrable=True, silent_fail=True, condition="count(user_score) > 22"), fail(9))


def test_a_worker_fails_for_a_retry(langsmith: LangSmithStandIn, connect: Connect, run: Run) -> None:
    """In a worker a failed look fails the task, like Airflow's sensors; with ``silent_fail`` it looks again."""
    connect(langsmith)
    scored(langsmith, 1)
    langsmith.misbehave("status", path="/runs/query", status=503)
    with pytest.raises(LangSmithException, match="503"):
        run(sensor())
    langsmith.misbehave("status", path="/runs/query", status=503, times=3)
    assert run(sensor(silent_fail=True))["total"] == 1


@WAYS
def test_a_window_that_is_not_over(langsmith: LangSmithStandIn, connect: Connect, run: Run, deferrable: bool) -> None:
    """Before the window ends, the condition is not met, but ``fail_when`` fails the task."""
    connect(langsmith)
    end = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    scored(langsmith, 1, 0)
    window = {"start_time": START.isoformat(), "end_time": end, "deferrable": deferrable}
    assert run(sensor(**window))["window_end"] == end
    assert datetime.now(UTC) >= datetime.fromisoformat(end)
    open_end = {**window, "end_time": (datetime.now(UTC) + DAY).isoformat()}
    with pytest.raises(AirflowFailException, match="share"):
        run(sensor(**open_end, fail_when="share(user_score, 0) > 0.33"))


@BOTH
def test_runs_by_their_ids(langsmith: LangSmithStandIn, connect: Connect, run: Run, version: str) -> None:
    """With ``run_ids`` it needs no window, and looks at these runs for any start time."""
    connect(langsmith, version)
    runs = scored(langsmith, 1, 0, None)
    outside = langsmith.add_run(project="shop", start_time=START - 9 * DAY)
    langsmith.add_feedback(outside, score=1)
    no_interval = {"data_interval_start": None, "data_interval_end": None}
    result = run(sensor(run_ids=[runs[0], outside], condition="coverage(user_score) == 1"), **no_interval)
    assert (result["total"], result["feedback"]["user_score"]["avg"]) == (2, 1.0)


def test_no_runs(langsmith: LangSmithStandIn, connect: Connect, run: Run) -> None:
    """With fewer runs than ``min_runs`` the sensor neither succeeds nor fails."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START - DAY)
    empty = {"condition": "total() < 5", "fail_when": "total() < 3", "timeout": 0.1}
    with pytest.raises(AirflowSensorTimeout):
        run(sensor(**empty))
    with pytest.raises(AirflowFailException, match="total"):
        run(sensor(**empty, min_runs=0))


@BOTH
def test_what_a_look_costs(langsmith: LangSmithStandIn, connect: Connect, run: Run, version: str) -> None:
    """A look takes a few requests for any window."""
    plain = {"name": "answer", "run_type": "chain", "project_name": "shop", "start_time": START + HOUR}
    langsmith.load({"id": str(UUID(int=number + 1)), **plain} for number in range(3000))
    for number in range(1, 91):
        for _ in range(1 + number % 2):
            langsmith.add_feedback(str(UUID(int=number)), score=number % 2)
    connect(langsmith, version)
    with pytest.raises(AirflowSensorTimeout):
        run(sensor(condition="coverage(user_score) > 0.9 and avg(user_score) > 0", timeout=0))
    paths = [request.path for request in langsmith.requests]
    assert len(paths) <= 6, paths
    assert {path: paths.count(path) for path in set(paths) if "query" not in path} == {
        "/api/v1/sessions": 1,
        "/api/v1/runs/stats": 1,
        "/api/v1/feedback": 2,  # 90 pieces, and an empty page, because a proxy may cut pages to 90
    }
