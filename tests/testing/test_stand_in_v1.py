"""Version 1 on the wire: what a query answers, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # where the clock of the fixture stands
SOME_ID = "7f0c2d4e-0000-4000-8000-000000000000"


def query(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """Ask for runs."""
    answer = http.post("/api/v1/runs/query", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(http: httpx.Client, **body: Any) -> list[str]:
    """Ask for runs, and tell only which."""
    return [run["id"] for run in query(http, **body)["runs"]]


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> str:
    """A project of 7 runs, a minute apart and the last at noon, the middle three at the same time."""
    for minutes in (6, 5, 3, 3, 3, 1, 0):
        langsmith.add_run(project="shop", start_time=NOON - timedelta(minutes=minutes))
    return langsmith.project_id("shop")


def test_pages_follow_the_cursor_in_the_body(http: httpx.Client, shop: str) -> None:
    """Each run comes once, in one order; ties stay together; the last page has no cursor."""
    pages = [query(http, session=[shop], limit=2)]
    while cursor := pages[-1]["cursors"]["next"]:
        pages.append(query(http, session=[shop], limit=2, cursor=cursor))
    runs = [run for page in pages for run in page["runs"]]
    assert [len(page["runs"]) for page in pages] == [2, 2, 2, 1]
    assert len({run["id"] for run in runs}) == 7
    assert runs == query(http, session=[shop])["runs"]
    assert [run["start_time"] for run in runs] == sorted((run["start_time"] for run in runs), reverse=True)
    assert ids(http, session=[shop], order="asc") == [run["id"] for run in reversed(runs)]


def test_a_full_last_page_still_has_a_cursor(http: httpx.Client, shop: str) -> None:
    """Only an empty page tells the end of a number of runs that divides by the limit."""
    cursor = query(http, session=[shop], limit=7)["cursors"]["next"]
    assert query(http, session=[shop], limit=7, cursor=cursor) == {
        "runs": [],
        "cursors": {"next": None, "prev": None},
        "search_cursors": None,
        "parsed_query": None,
    }


def test_new_runs_do_not_shift_the_pages(langsmith: LangSmithStandIn, http: httpx.Client, shop: str) -> None:
    """A cursor names a run and not a number of runs."""
    whole = ids(http, session=[shop])
    first = query(http, session=[shop], limit=4)
    langsmith.add_run(project="shop", start_time=NOON + timedelta(minutes=1))
    assert ids(http, session=[shop], cursor=first["cursors"]["next"]) == whole[4:]


def test_a_whole_trace_comes_at_once(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """``trace`` ignores limit and cursor."""
    root = langsmith.add_run()
    children = [langsmith.add_run(parent_run_id=root) for _ in range(120)]
    page = query(http, trace=root, limit=1, cursor="whatever")
    assert {run["id"] for run in page["runs"]} == {root, *children}
    assert page["cursors"]["next"] is None


def test_ids_ignore_every_other_filter(http: httpx.Client, shop: str) -> None:
    """A query by id finds its runs whatever else it asks."""
    one = ids(http, session=[shop])[0]
    assert ids(http, id=[one], session=[SOME_ID], start_time="2030-01-01T00:00:00Z", is_root=False) == [one]


def test_only_the_first_project_counts(langsmith: LangSmithStandIn, http: httpx.Client, shop: str) -> None:
    """A list of projects is accepted, and all but the first is left out in silence."""
    other = langsmith.add_run(project="other")
    assert ids(http, session=[langsmith.project_id("other"), shop]) == [other]


def test_only_selected_fields_come_and_those_that_always_do(http: httpx.Client, shop: str) -> None:
    """The schema requires nine fields of every run."""
    (run, *_) = query(http, session=[shop], select=["inputs"])["runs"]
    required = {"id", "name", "run_type", "start_time", "trace_id", "dotted_order", "status", "session_id", "app_path"}
    assert set(run) == {*required, "inputs"}


def test_payloads_and_previews_come_where_selected(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The default selection has no previews and no signed URLs."""
    langsmith.add_run(inputs={"text": "ü" * 400}, outputs={"a": 1})
    project = langsmith.project_id("default")
    (plain,) = query(http, session=[project])["runs"]
    assert not [name for name in plain if "preview" in name or "s3" in name.replace("manifest_s3_id", "")]
    (run,) = query(http, session=[project], select=["inputs_preview", "outputs_or_signed_url"])["runs"]
    assert len(run["inputs_preview"]) == 150
    assert run["outputs_or_signed_url"] == {"a": 1}


def test_times_are_naive_utc_and_words_lower_case(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """v1 says nothing about zones, and means UTC."""
    run_id = langsmith.add_run(
        start_time="2026-03-01T10:00:00.25+01:00", end_time="2026-03-01T09:00:01Z", run_type="llm"
    )
    run = http.get(f"/api/v1/runs/{run_id}").json()
    assert (run["start_time"], run["end_time"]) == ("2026-03-01T09:00:00.250000", "2026-03-01T09:00:01")
    assert (run["run_type"], run["status"]) == ("llm", "success")


@pytest.mark.parametrize(("form", "cost"), [("number", 0.001), ("string", "0.001")])
def test_parents_roll_up_what_their_children_spent(form: Any, cost: object) -> None:
    """Every run of v1 carries the totals of its subtree, and dollars in the form of the deployment."""
    with LangSmithStandIn(v1_costs=form) as server, httpx.Client(base_url=server.url) as http:
        http.headers["X-API-Key"] = server.api_key
        root = server.add_run()
        middle = server.add_run(parent_run_id=root)
        spent = {"input_tokens": 3, "output_tokens": 2, "total_cost": 0.001}
        server.add_run(parent_run_id=middle, run_type="llm", outputs={"usage_metadata": spent})
        runs = query(http, trace=root)["runs"]
    assert [(run["total_tokens"], run["total_cost"]) for run in runs] == [(5, cost)] * 3


def test_feedback_in_the_words_of_v1(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """``n`` counts scores alone, an object shows in no number, and a source is a text that holds JSON."""
    run = langsmith.add_run()
    for given in (
        {"key": "user_score", "score": 1, "comment": "Human verdict: PASS"},
        {"key": "category", "value": "CONCEPTUAL"},
        {"key": "rubric", "value": {"clarity": 3}},
        {"key": "cot accuracy", "score": 1, "value": "CORRECT"},
        {"key": "cot accuracy", "score": 0, "value": "INCORRECT"},
        {"key": "cot accuracy", "score": 1, "value": "CORRECT"},
    ):
        langsmith.add_feedback(run, **given)
    stats = http.get(f"/api/v1/runs/{run}").json()["feedback_stats"]
    assert stats["user_score"] == {
        "n": 1,
        "avg": 1.0,
        "show_feedback_arrow": True,
        "values": {},
        "comments": ["Human verdict: PASS"],
        "sources": ['{"type":"api","metadata":{}}'],
    }
    numbers = {key: (one["n"], one["avg"], one["values"]) for key, one in stats.items() if key != "user_score"}
    assert numbers == {
        "category": (0, None, {"CONCEPTUAL": 1}),
        "rubric": (0, None, {}),
        "cot accuracy": (3, pytest.approx(2 / 3), {"CORRECT": 2, "INCORRECT": 1}),
    }


@pytest.mark.parametrize(("edges", "count"), [("half_open", 1), ("inclusive", 2), ("exclusive", 0)])
def test_edges_are_a_setting(edges: Any, count: int) -> None:
    """Whether a bound holds a run exactly on it is not documented, so a deployment of each kind can be had."""
    with LangSmithStandIn(edges=edges, v1_end_time="start") as server, httpx.Client(base_url=server.url) as http:
        http.headers["X-API-Key"] = server.api_key
        for minute in (0, 5):
            server.add_run(start_time=NOON + timedelta(minutes=minute))
        bounds = {"start_time": "2026-03-01T12:00:00Z", "end_time": "2026-03-01T12:05:00Z"}
        assert len(ids(http, session=[server.project_id("default")], **bounds)) == count


def test_end_time_bounds_the_end(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """By default the body's end_time loses pending runs and those that end later."""
    short = langsmith.add_run(start_time=NOON, end_time=NOON + timedelta(minutes=1))
    langsmith.add_run(start_time=NOON, end_time=NOON + timedelta(hours=1))
    langsmith.add_run(start_time=NOON)
    assert ids(http, session=[langsmith.project_id("default")], end_time="2026-03-01T12:30:00Z") == [short]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"run_type": "tool"}, {"child"}),
        ({"error": True}, {"child"}),
        ({"error": False}, {"root", "other"}),
        ({"is_root": True}, {"root", "other"}),
        ({"execution_order": 1}, {"root", "other"}),
        ({"reference_example": [SOME_ID]}, {"other"}),
        ({"filter": 'eq(name, "root")'}, {"root"}),
        ({"trace_filter": 'eq(name, "root")'}, {"root", "child"}),
        ({"tree_filter": 'eq(name, "child")'}, {"root", "child"}),
        ({"start_time": "2026-03-01T12:00:00"}, {"root", "child", "other"}),
        ({"cursor": None, "error": None}, {"root", "child", "other"}),
    ],
)
def test_conditions(langsmith: LangSmithStandIn, http: httpx.Client, asked: dict[str, Any], names: set[str]) -> None:
    """Each field of the body keeps the runs it speaks of; null says nothing."""
    root = langsmith.add_run(name="root")
    langsmith.add_run(name="child", parent_run_id=root, run_type="tool", error="no")
    langsmith.add_run(name="other", reference_example_id=SOME_ID)
    found = query(http, session=[langsmith.project_id("default")], **asked)["runs"]
    assert {run["name"] for run in found} == names


def test_a_run_is_served_by_its_id_or_not_at_all(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """An unknown id is 404, and so is a known one in another project; what is no id is 422."""
    run_id = langsmith.add_run()
    assert http.get(f"/api/v1/runs/{run_id}").json()["id"] == run_id
    unknown = http.get(f"/api/v1/runs/{SOME_ID}")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Run not found"})
    assert http.get(f"/api/v1/runs/{run_id}", params={"session_id": SOME_ID}).status_code == 404
    assert http.get("/api/v1/runs/first").status_code == 422


def test_offloaded_payloads_are_behind_urls(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """v1 answers null and, where selected, the URL of the payload, which needs no key but its signature."""
    run_id = langsmith.add_run(inputs={"q": "é"}, outputs={"a": 1}, error="big", events=[{"name": "start"}])
    langsmith.offload(run_id, "inputs", "error")
    select = ["inputs", "inputs_s3_urls", "outputs", "outputs_s3_urls", "error", "events", "s3_urls"]
    (run,) = query(http, id=[run_id], select=select)["runs"]
    assert (run["inputs"], run["error"]) == (None, None)
    assert (run["outputs"], run["outputs_s3_urls"], run["events"]) == ({"a": 1}, None, [{"name": "start"}])
    url = run["inputs_s3_urls"]["ROOT"]["presigned_url"]
    assert httpx.get(f"{langsmith.url}{url}").json() == {"q": "é"}
    assert httpx.get(f"{langsmith.url}{run['s3_urls']['error']['presigned_url']}").json() == "big"
    assert httpx.get(f"{langsmith.url}{url.partition('?')[0]}").status_code == 403
    with pytest.raises(ValueError, match="payloads are"):
        langsmith.offload(run_id, "name")
