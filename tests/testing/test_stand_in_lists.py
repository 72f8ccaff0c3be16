"""Projects, feedback and stats on the wire: what the lists hold, in which order, and what the numbers count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # where the clock of the fixture stands
SOME_ID = "7f0c2d4e-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["shop", "exp", "Old shop"]),
        ({"name": "shop"}, ["shop"]),
        ({"name_contains": "SHOP"}, ["shop", "Old shop"]),
        ({"reference_free": "true"}, ["shop", "Old shop"]),
        ({"reference_free": "False"}, ["exp"]),
        ({"reference_dataset": SOME_ID}, ["exp"]),
        ({"metadata": '{"team": "x"}'}, ["Old shop"]),
        ({"sort_by": "name", "sort_by_desc": "false"}, ["Old shop", "exp", "shop"]),
        ({"limit": 1, "offset": 1}, ["exp"]),
        ({"include_stats": "true", "name": "exp"}, ["exp"]),
    ],
)
def test_projects_are_found(
    langsmith: LangSmithStandIn, http: httpx.Client, asked: dict[str, Any], names: list[str]
) -> None:
    """Newest first, by any of what LangSmith lets one ask for."""
    langsmith.add_project("Old shop", start_time=NOON - timedelta(days=2), extra={"metadata": {"team": "x"}})
    langsmith.add_project("exp", start_time=NOON - timedelta(days=1), reference_dataset_id=SOME_ID)
    langsmith.add_project("shop")
    assert [project["name"] for project in http.get("/api/v1/sessions", params=asked).json()] == names


def test_projects_are_found_by_their_ids(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The parameter may be repeated."""
    ids = [langsmith.add_project(name) for name in ("a", "b", "c")]
    found = http.get("/api/v1/sessions", params={"id": ids[:2]}).json()
    assert {project["id"] for project in found} == set(ids[:2])


@pytest.mark.parametrize(
    ("asked", "keys"),
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
        ({"run": SOME_ID}, []),
        ({"limit": 1, "offset": 2}, ["score"]),
    ],
)
def test_feedback_is_found(
    langsmith: LangSmithStandIn, http: httpx.Client, asked: dict[str, Any], keys: list[str]
) -> None:
    """Newest first, by any of what LangSmith lets one ask for."""
    run = langsmith.add_run(project="shop")
    project = langsmith.project_id("shop")
    langsmith.add_feedback(run, key="score", score=0, comment="no", created_at=NOON - timedelta(hours=2))
    langsmith.add_feedback(
        run, key="label", value="x", feedback_source={"type": "model"}, created_at=NOON - timedelta(hours=1)
    )
    langsmith.add_feedback(key="bare", session_id=project)
    found = http.get("/api/v1/feedback", params={"session": project, **asked}).json()
    assert [item["key"] for item in found] == keys


def test_feedback_carries_the_place_of_its_run(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Trace, project and start are those of the run, even if the run arrived after the feedback."""
    start = NOON - timedelta(hours=1)
    langsmith.add_feedback(SOME_ID, key="early")
    langsmith.add_run(id=SOME_ID, project="shop", start_time=start)
    (item,) = http.get("/api/v1/feedback", params={"session": langsmith.project_id("shop")}).json()
    assert (item["run_id"], item["trace_id"], item["is_root"]) == (SOME_ID, SOME_ID, True)
    assert (item["start_time"], item["created_at"]) == ("2026-03-01T11:00:00", "2026-03-01T12:00:00")


def test_feedback_without_a_subject_or_a_key_is_refused(http: httpx.Client) -> None:
    """Feedback is about a run, a trace or a project, and has a key."""
    assert http.post("/feedback", json={"key": "score"}).status_code == 422
    assert http.post("/feedback", json={"run_id": SOME_ID}).status_code == 422
    assert http.get(f"/feedback/{SOME_ID}").status_code == 404


def test_stats_count_what_a_query_would_list(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Tokens and dollars are counted once, however many runs of a trace are in it."""
    root = langsmith.add_run(start_time=NOON, end_time=NOON + timedelta(seconds=4))
    spent = {"input_tokens": 3, "output_tokens": 2, "total_cost": 0.5}
    for seconds in (1, 2):
        langsmith.add_run(
            parent_run_id=root,
            run_type="llm",
            start_time=NOON + timedelta(seconds=seconds),
            end_time=NOON + timedelta(seconds=seconds + 1),
            outputs={"usage_metadata": spent},
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
