"""Lists of projects and feedback, and statistics: content, order, and numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.testing.conftest import NOON, UNKNOWN_ID


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["shop", "exp", "Old shop"]),
        ({"name": "shop"}, ["shop"]),
        ({"name_contains": "SHOP"}, ["shop", "Old shop"]),
        ({"reference_free": "true"}, ["shop", "Old shop"]),
        ({"reference_free": "False"}, ["exp"]),
        ({"reference_dataset": UNKNOWN_ID}, ["exp"]),
        ({"metadata": '{"team": "x"}'}, ["Old shop"]),
        ({"sort_by": "name", "sort_by_desc": "false"}, ["Old shop", "exp", "shop"]),
        ({"limit": 1, "offset": 1}, ["exp"]),
        ({"include_stats": "true", "name": "exp"}, ["exp"]),
    ],
)
def test_projects_are_listed(
    langsmith: LangSmithStandIn, http: httpx.Client, query: dict[str, Any], names: list[str]
) -> None:
    """The newest come first, and each parameter of LangSmith selects."""
    langsmith.add_project("Old shop", start_time=NOON - timedelta(days=2), extra={"metadata": {"team": "x"}})
    langsmith.add_project("exp", start_time=NOON - timedelta(days=1), reference_dataset_id=UNKNOWN_ID)
    langsmith.add_project("shop")
    assert [project["name"] for project in http.get("/api/v1/sessions", params=query).json()] == names


def test_projects_are_listed_by_ids(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The parameter ``id`` may be repeated."""
    ids = [langsmith.add_project(name) for name in ("a", "b", "c")]
    projects = http.get("/api/v1/sessions", params={"id": ids[:2]}).json()
    assert {project["id"] for project in projects} == set(ids[:2])


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, ["bare", "label", "score"]),
        ({"key": ["score", "label"]}, ["label", "score"]),
        ({"source": "model"}, ["label"]),
        ({"has_comment": "true"}, ["score"]),
        ({"has_comment": "false"}, ["bare", "label"]),
        ({"has_score": "True"}, ["score"]),
        ({"level": "session"}, ["bare"]),
        ({"level": "run"}, ["label", "score"]),
        ({"min_created_at": "2026-03-01T11:00:00"}, ["bare", "label"]),
        ({"max_created_at": "2026-03-01T11:00:00Z"}, ["score"]),
        ({"run": UNKNOWN_ID}, []),
        ({"limit": 1, "offset": 2}, ["score"]),
    ],
)
def test_feedback_is_listed(
    langsmith: LangSmithStandIn, http: httpx.Client, query: dict[str, Any], keys: list[str]
) -> None:
    """The newest come first, and each parameter of LangSmith selects."""
    run = langsmith.add_run(project="shop")
    project = langsmith.project_id("shop")
    langsmith.add_feedback(run, key="score", score=0, comment="no", created_at=NOON - timedelta(hours=2))
    langsmith.add_feedback(
        run, key="label", value="x", feedback_source={"type": "model"}, created_at=NOON - timedelta(hours=1)
    )
    langsmith.add_feedback(key="bare", session_id=project)
    items = http.get("/api/v1/feedback", params={"session": project, **query}).json()
    assert [item["key"] for item in items] == keys


def test_feedback_has_the_trace_and_project_of_its_run(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Trace, project and start are those of the run, also if the run arrives after the feedback."""
    start = NOON - timedelta(hours=1)
    langsmith.add_feedback(UNKNOWN_ID, key="early")
    langsmith.add_run(id=UNKNOWN_ID, project="shop", start_time=start)
    (item,) = http.get("/api/v1/feedback", params={"session": langsmith.project_id("shop")}).json()
    assert (item["run_id"], item["trace_id"], item["is_root"]) == (UNKNOWN_ID, UNKNOWN_ID, True)
    assert (item["start_time"], item["created_at"]) == ("2026-03-01T11:00:00", "2026-03-01T12:00:00")


def test_feedback_without_a_subject_or_a_key_is_refused(http: httpx.Client) -> None:
    """Feedback needs a key, and a run, a trace or a project."""
    assert http.post("/feedback", json={"key": "score"}).status_code == 422
    assert http.post("/feedback", json={"run_id": UNKNOWN_ID}).status_code == 422
    assert http.get(f"/feedback/{UNKNOWN_ID}").status_code == 404


def test_stats_are_those_of_the_runs_of_a_query(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Tokens and dollars count once, also if a parent and its child are among the runs."""
    root = langsmith.add_run(start_time=NOON, end_time=NOON + timedelta(seconds=4))
    usage = {"input_tokens": 3, "output_tokens": 2, "total_cost": 0.5}
    for seconds in (1, 2):
        langsmith.add_run(
            parent_run_id=root,
            run_type="llm",
            start_time=NOON + timedelta(seconds=seconds),
            end_time=NOON + timedelta(seconds=seconds + 1),
            outputs={"usage_metadata": usage},
            error="no" if seconds == 2 else None,
        )
    langsmith.add_feedback(root, score=1)
    body = {"session": [langsmith.project_id("default")]}
    stats = http.post("/api/v1/runs/stats", json=body).json()
    assert (stats["run_count"], stats["total_tokens"], stats["total_cost"]) == (3, 10, 1.0)
    assert (stats["latency_p50"], stats["error_rate"]) == (1.0, 1 / 3)
    assert stats["last_run_start_time"] == "2026-03-01T12:00:02"
    assert stats["feedback_stats"]["user_score"]["avg"] == 1.0
    roots = http.post("/api/v1/runs/stats", json={**body, "is_root": True, "select": ["run_count", "total_tokens"]})
    assert roots.json() == {"run_count": 1, "total_tokens": 10}
    none = http.post("/api/v1/runs/stats", json={**body, "run_type": "tool"}).json()
    assert (none["run_count"], none["latency_p50"], none["error_rate"]) == (0, None, None)
