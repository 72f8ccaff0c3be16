"""Version 2 on the wire: what a query answers, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # where the clock of the fixture stands
SOME_ID = "7f0c2d4e-0000-4000-8000-000000000000"
PATH = "/api/v2/runs/query"


def query(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """Ask for runs."""
    answer = http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(http: httpx.Client, **body: Any) -> list[str]:
    """Ask for runs, and tell only which."""
    return [run["id"] for run in query(http, **body)["items"]]


def test_pages_follow_the_cursor_in_the_body(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Newest first, each run once; the last page has no cursor; one in the query string is ignored."""
    for minutes in (6, 5, 3, 3, 3, 1, 1):
        langsmith.add_run(start_time=NOON - timedelta(minutes=minutes))
    asked: dict[str, Any] = {"project_ids": [langsmith.project_id("default")], "selects": ["ID", "START_TIME"]}
    pages = [query(http, **asked, page_size=3)]
    while cursor := pages[-1].get("next_cursor"):
        pages.append(query(http, **asked, page_size=3, cursor=cursor))
    runs = [run for page in pages for run in page["items"]]
    assert [len(page["items"]) for page in pages] == [3, 3, 1]
    assert "next_cursor" not in pages[-1]
    assert runs == query(http, **asked)["items"]
    assert [run["start_time"] for run in runs] == sorted((run["start_time"] for run in runs), reverse=True)
    again = http.post(PATH, json={**asked, "page_size": 3}, params={"cursor": pages[0]["next_cursor"]})
    assert again.json() == pages[0]


def test_without_bounds_there_is_the_last_day_only(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The other default that surprises everybody."""
    recent = langsmith.add_run(start_time=NOON - timedelta(hours=23))
    old = langsmith.add_run(start_time=NOON - timedelta(hours=25))
    future = langsmith.add_run(start_time=NOON + timedelta(hours=1))
    project = langsmith.project_id("default")
    assert ids(http, project_ids=[project]) == [recent]
    assert ids(http, project_ids=[project], ids=[recent, old]) == [recent]
    assert ids(http, project_ids=[project], min_start_time="2026-01-01T00:00:00Z") == [recent, old]
    assert ids(http, project_ids=[project], max_start_time="2027-01-01T00:00:00Z") == [future, recent]


def test_many_projects_are_merged(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Unlike v1, all projects of the list count, and their runs come in one order."""
    runs = [
        langsmith.add_run(project=f"p{number % 3}", start_time=NOON - timedelta(minutes=number + 1))
        for number in range(7)
    ]
    assert ids(http, project_ids=[langsmith.project_id(f"p{number}") for number in range(3)]) == runs


def test_the_experiments_of_a_dataset_are_found_by_it(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A reference dataset stands for its projects, from the earliest on."""
    langsmith.add_project("experiment", reference_dataset_id=SOME_ID, start_time=NOON - timedelta(days=9))
    run = langsmith.add_run(project="experiment", start_time=NOON - timedelta(days=8))
    assert ids(http, reference_dataset_id=SOME_ID) == [run]


def test_a_row_in_the_words_of_v2(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Upper-case words, zoned times, wrapped details, dollars as numbers, and a run's own usage."""
    root = langsmith.add_run(start_time=NOON - timedelta(minutes=2), extra={"metadata": {"thread_id": "t"}}, tags=["x"])
    spent = {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_cost": 0.5,
        "input_token_details": {"cache_read": 1},
        "input_cost_details": {"cache_read": 0.25},
    }
    child = langsmith.add_run(
        parent_run_id=root,
        run_type="llm",
        start_time=NOON - timedelta(minutes=1),
        end_time=NOON,
        error="x" * 200,
        outputs={"usage_metadata": spent},
        serialized={"name": "m"},
        attachments={"photo": ("image/png", b"png")},
        in_dataset=True,
        share_token=SOME_ID,
        last_queued_at=NOON,
    )
    selects = (
        "ID RUN_TYPE STATUS START_TIME END_TIME LATENCY_SECONDS PARENT_RUN_IDS IS_ROOT TOTAL_TOKENS TOTAL_COST "
        "PROMPT_TOKEN_DETAILS PROMPT_COST_DETAILS COMPLETION_TOKEN_DETAILS ERROR_PREVIEW MANIFEST THREAD_ID METADATA "
        "TAGS FEEDBACK_STATS IS_IN_DATASET LAST_QUEUED_AT SHARE_URL ATTACHMENTS"
    ).split()
    asked = {"project_ids": [langsmith.project_id("default")], "selects": selects}
    low, top = query(http, **asked)["items"]
    files = low.pop("attachments")
    assert low == {
        "id": child,
        "run_type": "LLM",
        "status": "ERROR",
        "start_time": "2026-03-01T11:59:00Z",
        "end_time": "2026-03-01T12:00:00Z",
        "latency_seconds": 60.0,
        "parent_run_ids": [root],
        "is_root": False,
        "total_tokens": 5,
        "total_cost": 0.5,
        "prompt_token_details": {"raw": {"cache_read": 1}},
        "prompt_cost_details": {"raw": {"cache_read": 0.25}},
        "error_preview": "x" * 149 + "…",
        "manifest": {"name": "m"},
        "is_in_dataset": True,
        "last_queued_at": "2026-03-01T12:00:00Z",
        "share_url": f"{langsmith.url}/public/{SOME_ID}/r",
    }
    assert httpx.get(files["photo"]).content == b"png"
    assert top == {
        "id": root,
        "run_type": "CHAIN",
        "status": "PENDING",
        "start_time": "2026-03-01T11:58:00Z",
        "end_time": None,
        "is_root": True,
        "total_tokens": 0,
        "thread_id": "t",
        "metadata": {"thread_id": "t"},
        "tags": ["x"],
    }
    _, subtree = query(http, **asked, include_subtree_usage=True)["items"]
    assert (subtree["total_tokens"], subtree["total_cost"]) == (5, 0.5)


def test_offloaded_payloads_stay_inline(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """v2 knows no blob storage."""
    run_id = langsmith.add_run(inputs={"q": 1}, start_time=NOON - timedelta(minutes=1))
    langsmith.offload(run_id, "inputs")
    project = langsmith.project_id("default")
    assert query(http, project_ids=[project], selects=["INPUTS"])["items"] == [{"inputs": {"q": 1}}]


@pytest.mark.parametrize(("edges", "count"), [("half_open", 1), ("inclusive", 2), ("exclusive", 0)])
def test_edges_are_a_setting(edges: Any, count: int) -> None:
    """Whether a bound holds a run exactly on it is not documented, so a deployment of each kind can be had."""
    with LangSmithStandIn(edges=edges) as server, httpx.Client(base_url=server.url) as http:
        http.headers["X-API-Key"] = server.api_key
        for minute in (0, 5):
            server.add_run(start_time=NOON + timedelta(minutes=minute))
        bounds = {"min_start_time": "2026-03-01T12:00:00Z", "max_start_time": "2026-03-01T12:05:00Z"}
        assert len(ids(http, project_ids=[server.project_id("default")], **bounds)) == count


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"run_type": "TOOL"}, {"child"}),
        ({"has_error": True}, {"child"}),
        ({"is_root": True}, {"root", "other"}),
        ({"reference_examples": [SOME_ID]}, {"other"}),
        ({"filter": 'eq(run_type, "tool")'}, {"child"}),
        ({"filter": 'like(error, "%gone%")'}, {"child"}),
        ({"trace_filter": 'eq(name, "root")'}, {"root", "child"}),
        ({"tree_filter": 'eq(name, "child")'}, {"root", "child"}),
    ],
)
def test_conditions(langsmith: LangSmithStandIn, http: httpx.Client, asked: dict[str, Any], names: set[str]) -> None:
    """Each field of the body keeps the runs it speaks of."""
    start = NOON - timedelta(minutes=1)
    root = langsmith.add_run(name="root", start_time=start)
    langsmith.add_run(name="child", parent_run_id=root, run_type="tool", error="gone", start_time=start)
    langsmith.add_run(name="other", reference_example_id=SOME_ID, start_time=start)
    project = langsmith.project_id("default")
    found = query(http, project_ids=[project], selects=["NAME"], **asked)["items"]
    assert {run["name"] for run in found} == names
    assert ids(http, project_ids=[project], trace_id=root, ids=[root]) == [root]


def test_feedback_bounds_pick_the_feedback_that_counts(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Modified from the lower bound on to before the upper one, for the feedback conditions of a filter."""
    run = langsmith.add_run(start_time=NOON - timedelta(hours=2))
    langsmith.add_feedback(run, key="score", created_at=NOON - timedelta(hours=1))
    asked: dict[str, Any] = {
        "project_ids": [langsmith.project_id("default")],
        "filter": 'eq(feedback_key, "score")',
    }
    assert ids(http, **asked, min_feedback_modified_at="2026-03-01T11:00:00Z") == [run]
    assert ids(http, **asked, max_feedback_modified_at="2026-03-01T11:00:00Z") == []
    langsmith.add_feedback(run, key="other", created_at=NOON)
    assert ids(http, **asked, min_feedback_modified_at="2026-03-01T11:30:00Z") == []


def test_a_run_is_served_by_its_id_and_project(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Only what is selected comes, by default the id; the project is required and has to be the right one."""
    run_id = langsmith.add_run(start_time=NOON - timedelta(days=99))
    path, project = f"/api/v2/runs/{run_id}", langsmith.project_id("default")
    assert http.get(path, params={"project_id": project}).json() == {"id": run_id}
    selected = http.get(path, params={"project_id": project, "selects": ["NAME", "STATUS"]})
    assert selected.json() == {"name": "run", "status": "PENDING"}
    assert http.get(path).status_code == 422
    missing = http.get(path, params={"project_id": SOME_ID})
    assert (missing.status_code, missing.json()) == (404, {"error": "run not found: resource not found"})
