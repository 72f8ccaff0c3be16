"""Version 2 of the API: pages, rows and conditions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.testing.conftest import NOON, UNKNOWN_ID

PATH = "/api/v2/runs/query"


def query(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """Query runs."""
    answer = http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids(http: httpx.Client, **body: Any) -> list[str]:
    """Query the ids of runs."""
    return [run["id"] for run in query(http, **body)["items"]]


def test_pages_follow_the_cursor_in_the_body(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Each run is on one page, newest first; the last page has no cursor; a cursor in the query string is ignored."""
    for minutes in (6, 5, 3, 3, 3, 1, 1):
        langsmith.add_run(start_time=NOON - timedelta(minutes=minutes))
    body: dict[str, Any] = {"project_ids": [langsmith.project_id("default")], "selects": ["ID", "START_TIME"]}
    pages = [query(http, **body, page_size=3)]
    while cursor := pages[-1].get("next_cursor"):
        pages.append(query(http, **body, page_size=3, cursor=cursor))
    runs = [run for page in pages for run in page["items"]]
    assert [len(page["items"]) for page in pages] == [3, 3, 1]
    assert "next_cursor" not in pages[-1]
    assert runs == query(http, **body)["items"]
    assert [run["start_time"] for run in runs] == sorted((run["start_time"] for run in runs), reverse=True)
    again = http.post(PATH, json={**body, "page_size": 3}, params={"cursor": pages[0]["next_cursor"]})
    assert again.json() == pages[0]


def test_without_bounds_a_query_reads_the_last_day(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Without bounds, only runs from a day ago to now are listed, also if they are selected by id."""
    recent = langsmith.add_run(start_time=NOON - timedelta(hours=23))
    old = langsmith.add_run(start_time=NOON - timedelta(hours=25))
    future = langsmith.add_run(start_time=NOON + timedelta(hours=1))
    project = langsmith.project_id("default")
    assert ids(http, project_ids=[project]) == [recent]
    assert ids(http, project_ids=[project], ids=[recent, old]) == [recent]
    assert ids(http, project_ids=[project], min_start_time="2026-01-01T00:00:00Z") == [recent, old]
    assert ids(http, project_ids=[project], max_start_time="2027-01-01T00:00:00Z") == [future, recent]


def test_many_projects_are_merged(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """All projects of the list are read, and their runs are in one order."""
    runs = [
        langsmith.add_run(project=f"p{number % 3}", start_time=NOON - timedelta(minutes=number + 1))
        for number in range(7)
    ]
    assert ids(http, project_ids=[langsmith.project_id(f"p{number}") for number in range(3)]) == runs


def test_the_experiments_of_a_dataset_are_listed(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A reference dataset selects its projects, from the start of the first one."""
    langsmith.add_project("experiment", reference_dataset_id=UNKNOWN_ID, start_time=NOON - timedelta(days=9))
    run = langsmith.add_run(project="experiment", start_time=NOON - timedelta(days=8))
    assert ids(http, reference_dataset_id=UNKNOWN_ID) == [run]


def test_a_row_of_v2(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A row has upper-case words, times with a zone, ``raw`` details, dollars as numbers, and its own usage."""
    root = langsmith.add_run(start_time=NOON - timedelta(minutes=2), extra={"metadata": {"thread_id": "t"}}, tags=["x"])
    usage = {
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
        outputs={"usage_metadata": usage},
        serialized={"name": "m"},
        attachments={"photo": ("image/png", b"png")},
        in_dataset=True,
        share_token=UNKNOWN_ID,
        last_queued_at=NOON,
    )
    selects = (
        "ID RUN_TYPE STATUS START_TIME END_TIME LATENCY_SECONDS PARENT_RUN_IDS IS_ROOT TOTAL_TOKENS TOTAL_COST "
        "PROMPT_TOKEN_DETAILS PROMPT_COST_DETAILS COMPLETION_TOKEN_DETAILS ERROR_PREVIEW MANIFEST THREAD_ID METADATA "
        "TAGS FEEDBACK_STATS IS_IN_DATASET LAST_QUEUED_AT SHARE_URL ATTACHMENTS"
    ).split()
    body = {"project_ids": [langsmith.project_id("default")], "selects": selects}
    child_row, root_row = query(http, **body)["items"]
    files = child_row.pop("attachments")
    assert child_row == {
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
        "share_url": f"{langsmith.url}/public/{UNKNOWN_ID}/r",
    }
    assert httpx.get(files["photo"]).content == b"png"
    assert root_row == {
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
    _, subtree = query(http, **body, include_subtree_usage=True)["items"]
    assert (subtree["total_tokens"], subtree["total_cost"]) == (5, 0.5)


def test_offloaded_payloads_stay_inline(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """v2 answers payloads themselves, also if blob storage has them."""
    run_id = langsmith.add_run(inputs={"q": 1}, start_time=NOON - timedelta(minutes=1))
    langsmith.offload(run_id, "inputs")
    project = langsmith.project_id("default")
    assert query(http, project_ids=[project], selects=["INPUTS"])["items"] == [{"inputs": {"q": 1}}]


@pytest.mark.parametrize(("edges", "count"), [("half_open", 1), ("inclusive", 2), ("exclusive", 0)])
def test_edges_are_a_setting(edges: Any, count: int) -> None:
    """A setting decides whether bounds include a run exactly on them, because LangSmith does not document it."""
    with LangSmithStandIn(edges=edges) as server, httpx.Client(base_url=server.url) as http:
        http.headers["X-API-Key"] = server.api_key
        for minute in (0, 5):
            server.add_run(start_time=NOON + timedelta(minutes=minute))
        bounds = {"min_start_time": "2026-03-01T12:00:00Z", "max_start_time": "2026-03-01T12:05:00Z"}
        assert len(ids(http, project_ids=[server.project_id("default")], **bounds)) == count


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"run_type": "TOOL"}, {"child"}),
        ({"has_error": True}, {"child"}),
        ({"is_root": True}, {"root", "other"}),
        ({"reference_examples": [UNKNOWN_ID]}, {"other"}),
        ({"filter": 'eq(run_type, "tool")'}, {"child"}),
        ({"filter": 'like(error, "%gone%")'}, {"child"}),
        ({"trace_filter": 'eq(name, "root")'}, {"root", "child"}),
        ({"tree_filter": 'eq(name, "child")'}, {"root", "child"}),
    ],
)
def test_conditions(langsmith: LangSmithStandIn, http: httpx.Client, body: dict[str, Any], names: set[str]) -> None:
    """Each field of the body selects runs."""
    start = NOON - timedelta(minutes=1)
    root = langsmith.add_run(name="root", start_time=start)
    langsmith.add_run(name="child", parent_run_id=root, run_type="tool", error="gone", start_time=start)
    langsmith.add_run(name="other", reference_example_id=UNKNOWN_ID, start_time=start)
    project = langsmith.project_id("default")
    runs = query(http, project_ids=[project], selects=["NAME"], **body)["items"]
    assert {run["name"] for run in runs} == names
    assert ids(http, project_ids=[project], trace_id=root, ids=[root]) == [root]


def test_feedback_bounds_select_the_feedback_of_a_filter(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Conditions on feedback apply to feedback modified from the lower bound to before the upper one."""
    run = langsmith.add_run(start_time=NOON - timedelta(hours=2))
    langsmith.add_feedback(run, key="score", created_at=NOON - timedelta(hours=1))
    body: dict[str, Any] = {
        "project_ids": [langsmith.project_id("default")],
        "filter": 'eq(feedback_key, "score")',
    }
    assert ids(http, **body, min_feedback_modified_at="2026-03-01T11:00:00Z") == [run]
    assert ids(http, **body, max_feedback_modified_at="2026-03-01T11:00:00Z") == []
    langsmith.add_feedback(run, key="other", created_at=NOON)
    assert ids(http, **body, min_feedback_modified_at="2026-03-01T11:30:00Z") == []


def test_a_run_is_read_by_its_id_and_project(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A read has the selected fields, by default the id; no project is 422, and another project is 404."""
    run_id = langsmith.add_run(start_time=NOON - timedelta(days=99))
    path, project = f"/api/v2/runs/{run_id}", langsmith.project_id("default")
    assert http.get(path, params={"project_id": project}).json() == {"id": run_id}
    selected = http.get(path, params={"project_id": project, "selects": ["NAME", "STATUS"]})
    assert selected.json() == {"name": "run", "status": "PENDING"}
    assert http.get(path).status_code == 422
    missing = http.get(path, params={"project_id": UNKNOWN_ID})
    assert (missing.status_code, missing.json()) == (404, {"error": "run not found: resource not found"})
