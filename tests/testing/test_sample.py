"""The sample workspace: the same each time, with everything that is difficult for an export."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn, sample_feedback, sample_runs

START = datetime(2026, 3, 1, tzinfo=UTC)
WEEK: dict[str, Any] = {"start": START, "days": 7, "traces_per_day": 40, "seed": 1}


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    """The runs of a week."""
    return list(sample_runs(**WEEK))


@pytest.fixture(scope="module")
def feedback() -> list[dict[str, Any]]:
    """The feedback of that week."""
    return list(sample_feedback(**WEEK))


def test_everything_follows_from_the_seed(runs: list[dict[str, Any]], feedback: list[dict[str, Any]]) -> None:
    """The same seed gives the same workspace, with the same ids and times; another seed gives another."""
    assert list(sample_runs(**WEEK)) == runs
    assert list(sample_feedback(**WEEK)) == feedback
    assert {run["id"] for run in sample_runs(**{**WEEK, "seed": 2})}.isdisjoint(run["id"] for run in runs)


def test_a_day_does_not_depend_on_the_others(runs: list[dict[str, Any]]) -> None:
    """A longer sample begins like a shorter one, and each turn is in its day, or a few minutes after."""
    day = list(sample_runs(**{**WEEK, "days": 1}))
    assert runs[: len(day)] == day
    assert all(START <= run["start_time"] < START + timedelta(days=1, minutes=10) for run in day)


def test_the_sample_has_the_requested_number_of_whole_traces(runs: list[dict[str, Any]]) -> None:
    """Parents come before their children, and the dotted order describes the same tree."""
    seen: dict[str, dict[str, Any]] = {}
    for run in runs:
        parent = seen.get(run.get("parent_run_id", ""))
        prefix = f"{parent['dotted_order']}." if parent else ""
        assert run["dotted_order"] == f"{prefix}{run['start_time']:%Y%m%dT%H%M%S%f}Z{run['id']}"
        assert run["trace_id"] == (parent["trace_id"] if parent else run["id"])
        seen[run["id"]] = run
    assert len(seen) == len(runs)
    sizes = Counter(run["trace_id"] for run in runs)
    assert len(sizes) == 7 * 40
    assert set(sizes.values()) <= {2, 3, 4, 5}


def test_the_sample_has_difficult_data(runs: list[dict[str, Any]], feedback: list[dict[str, Any]]) -> None:
    """It has failures, runs without an end, threads of several turns, other scripts than Latin, and both scores."""
    roots = [run for run in runs if "parent_run_id" not in run]
    assert {run["run_type"] for run in runs} == {"chain", "retriever", "llm", "tool"}
    assert any("error" in run for run in roots)
    assert any("error" in run for run in runs if run["run_type"] == "tool")
    assert any("end_time" not in run for run in roots)
    assert any("end_time" in run and "outputs" not in run and "error" not in run for run in roots)
    assert max(Counter(run["extra"]["metadata"]["thread_id"] for run in roots).values()) > 1
    assert any(not str(run["inputs"]).isascii() for run in roots)
    assert len({run["extra"]["metadata"].get("ls_model_name") for run in runs}) == 1 + 3
    assert {item["score"] for item in feedback} == {0, 1}
    assert {item["comment"] is None for item in feedback} == {True, False}
    assert 0.2 < len(feedback) / len(roots) < 0.45
    assert {item["run_id"] for item in feedback} <= {run["id"] for run in roots}


def test_load_sample_adds_the_whole_sample(runs: list[dict[str, Any]], feedback: list[dict[str, Any]]) -> None:
    """``load_sample`` adds each run, and each feedback five minutes after the end of its run."""
    ends = {run["id"]: run.get("end_time", run["start_time"]) for run in runs}
    with LangSmithStandIn() as langsmith:
        langsmith.load_sample(**WEEK)
        assert repr(langsmith).endswith(f" {len(runs)} runs>")
        key = {"X-API-Key": langsmith.api_key}
        url = f"{langsmith.url}/feedback"
        items = httpx.get(url, params={"limit": 100}, headers=key).json()
        assert httpx.get(url, params={"offset": len(feedback)}, headers=key).json() == []
    sample = {item["feedback_id"]: item for item in feedback}
    assert len(items) == min(100, len(feedback))
    for item in items:
        assert (item["run_id"], item["score"]) == (sample[item["id"]]["run_id"], sample[item["id"]]["score"])
        created = datetime.fromisoformat(item["created_at"]).replace(tzinfo=UTC)
        assert created == ends[item["run_id"]] + timedelta(minutes=5)
