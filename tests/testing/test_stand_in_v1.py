"""Version 1 of the API: pages, rows and conditions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.testing.conftest import NOON, UNKNOWN_ID


def query(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """Query runs."""
    answer = http.post("/api/v1/runs/query", json=body)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids(http: httpx.Client, **body: Any) -> list[str]:
    """Query the ids of runs."""
    return [run["id"] for run in query(http, **body)["runs"]]


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> str:
    """A project of 7 runs until noon, three of them at the same time."""
    for minutes in (6, 5, 3, 3, 3, 1, 0):
        langsmith.add_run(project="shop", start_time=NOON - timedelta(minutes=minutes))
    return langsmith.project_id("shop")


def test_pages_follow_the_cursor_in_the_body(http: httpx.Client, shop: str) -> None:
    """Each run is on one page, in one order, also runs of the same time; the last page has no cursor."""
    pages = [query(http, session=[shop], limit=2)]
    while cursor := pages[-1]["cursors"]["next"]:
        pages.append(query(http, session=[shop], limit=2, cursor=cursor))
    runs = [run for page in pages for run in page["runs"]]
    assert [len(page["runs"]) for page in pages] == [2, 2, 2, 1]
    assert len({run["id"] for run in runs}) == 7
    assert runs == query(http, session=[shop])["runs"]
    assert [run["start_time"] for run in runs] == sorted((run["start_time"] for run in runs), reverse=True)
    assert ids(http, session=[shop], order="asc") == [run["id"] for run in reversed(runs)]


def test_a_full_last_page_has_a_cursor(http: httpx.Client, shop: str) -> None:
    """After a full last page there is an empty page, without a cursor."""
    cursor = query(http, session=[shop], limit=7)["cursors"]["next"]
    assert query(http, session=[shop], limit=7, cursor=cursor) == {
        "runs": [],
        "cursors": {"next": None, "prev": None},
        "search_cursors": None,
        "parsed_query": None,
    }


def test_new_runs_do_not_shift_the_pages(langsmith: LangSmithStandIn, http: httpx.Client, shop: str) -> None:
    """A run that is added after the first page is not on the second page."""
    whole = ids(http, session=[shop])
    first = query(http, session=[shop], limit=4)
    langsmith.add_run(project="shop", start_time=NOON + timedelta(minutes=1))
    assert ids(http, session=[shop], cursor=first["cursors"]["next"]) == whole[4:]


def test_a_whole_trace_is_one_page(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """``trace`` ignores limit and cursor."""
    root = langsmith.add_run()
    children = [langsmith.add_run(parent_run_id=root) for _ in range(120)]
    page = query(http, trace=root, limit=1, cursor="whatever")
    assert {run["id"] for run in page["runs"]} == {root, *children}
    assert page["cursors"]["next"] is None


def test_ids_ignore_every_other_filter(http: httpx.Client, shop: str) -> None:
    """A query by id lists its runs, also if they do not match another filter."""
    run_id = ids(http, session=[shop])[0]
    assert ids(http, id=[run_id], session=[UNKNOWN_ID], start_time="2030-01-01T00:00:00Z", is_root=False) == [run_id]


def test_only_the_first_project_is_read(langsmith: LangSmithStandIn, http: httpx.Client, shop: str) -> None:
    """A list of projects is accepted, but only the first project is read."""
    other = langsmith.add_run(project="other")
    assert ids(http, session=[langsmith.project_id("other"), shop]) == [other]


def test_a_row_has_the_selected_fields_and_nine_others(http: httpx.Client, shop: str) -> None:
    """Nine fields are in each row, selected or not."""
    (run, *_) = query(http, session=[shop], select=["inputs"])["runs"]
    required = {"id", "name", "run_type", "start_time", "trace_id", "dotted_order", "status", "session_id", "app_path"}
    assert set(run) == {*required, "inputs"}


def test_previews_and_urls_need_to_be_selected(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Without ``select`` a row has no previews and no signed URLs."""
    langsmith.add_run(inputs={"text": "ü" * 400}, outputs={"a": 1})
    project = langsmith.project_id("default")
    (plain,) = query(http, session=[project])["runs"]
    assert not [name for name in plain if "preview" in name or "s3" in name.replace("manifest_s3_id", "")]
    (run,) = query(http, session=[project], select=["inputs_preview", "outputs_or_signed_url"])["runs"]
    assert len(run["inputs_preview"]) == 150
    assert run["outputs_or_signed_url"] == {"a": 1}


def test_times_have_no_zone_and_words_are_lower_case(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Times are in UTC, without a zone."""
    run_id = langsmith.add_run(
        start_time="2026-03-01T10:00:00.25+01:00", end_time="2026-03-01T09:00:01Z", run_type="llm"
    )
    run = http.get(f"/api/v1/runs/{run_id}").json()
    assert (run["start_time"], run["end_time"]) == ("2026-03-01T09:00:00.250000", "2026-03-01T09:00:01")
    assert (run["run_type"], run["status"]) == ("llm", "success")


@pytest.mark.parametrize(("form", "cost"), [("number", 0.001), ("string", "0.001")])
def test_a_row_has_the_usage_of_its_subtree(form: Any, cost: object) -> None:
    """Tokens and dollars include those of the runs below, and dollars have the form of the setting."""
    with LangSmithStandIn(v1_costs=form) as server, httpx.Client(base_url=server.url) as http:
        http.headers["X-API-Key"] = server.api_key
        root = server.add_run()
        middle = server.add_run(parent_run_id=root)
        usage = {"input_tokens": 3, "output_tokens": 2, "total_cost": 0.001}
        server.add_run(parent_run_id=middle, run_type="llm", outputs={"usage_metadata": usage})
        runs = query(http, trace=root)["runs"]
    assert [(run["total_tokens"], run["total_cost"]) for run in runs] == [(5, cost)] * 3


def test_feedback_stats_of_v1(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """``n`` counts scores only, ``values`` has strings only, and a source is JSON in a string."""
    run = langsmith.add_run()
    for feedback in (
        {"key": "user_score", "score": 1, "comment": "Human verdict: PASS"},
        {"key": "category", "value": "CONCEPTUAL"},
        {"key": "rubric", "value": {"clarity": 3}},
        {"key": "cot accuracy", "score": 1, "value": "CORRECT"},
        {"key": "cot accuracy", "score": 0, "value": "INCORRECT"},
        {"key": "cot accuracy", "score": 1, "value": "CORRECT"},
    ):
        langsmith.add_feedback(run, **feedback)
    stats = http.get(f"/api/v1/runs/{run}").json()["feedback_stats"]
    assert stats["user_score"] == {
        "n": 1,
        "avg": 1.0,
        "show_feedback_arrow": True,
        "values": {},
        "comments": ["Human verdict: PASS"],
        "sources": ['{"type":"api","metadata":{}}'],
    }
    numbers = {
        key: (of_key["n"], of_key["avg"], of_key["values"]) for key, of_key in stats.items() if key != "user_score"
    }
    assert numbers == {
        "category": (0, None, {"CONCEPTUAL": 1}),
        "rubric": (0, None, {}),
        "cot accuracy": (3, pytest.approx(2 / 3), {"CORRECT": 2, "INCORRECT": 1}),
    }


@pytest.mark.parametrize(("edges", "count"), [("half_open", 1), ("inclusive", 2), ("exclusive", 0)])
def test_edges_are_a_setting(edges: Any, count: int) -> None:
    """A setting decides whether bounds include a run exactly on them, because LangSmith does not document it."""
    with LangSmithStandIn(edges=edges, v1_end_time="start") as server, httpx.Client(base_url=server.url) as http:
        http.headers["X-API-Key"] = server.api_key
        for minute in (0, 5):
            server.add_run(start_time=NOON + timedelta(minutes=minute))
        bounds = {"start_time": "2026-03-01T12:00:00Z", "end_time": "2026-03-01T12:05:00Z"}
        assert len(ids(http, session=[server.project_id("default")], **bounds)) == count


def test_end_time_bounds_the_end(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """By default ``end_time`` excludes pending runs and runs that end later."""
    short = langsmith.add_run(start_time=NOON, end_time=NOON + timedelta(minutes=1))
    langsmith.add_run(start_time=NOON, end_time=NOON + timedelta(hours=1))
    langsmith.add_run(start_time=NOON)
    assert ids(http, session=[langsmith.project_id("default")], end_time="2026-03-01T12:30:00Z") == [short]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"run_type": "tool"}, {"child"}),
        ({"error": True}, {"child"}),
        ({"error": False}, {"root", "other"}),
        ({"is_root": True}, {"root", "other"}),
        ({"execution_order": 1}, {"root", "other"}),
        ({"reference_example": [UNKNOWN_ID]}, {"other"}),
        ({"filter": 'eq(name, "root")'}, {"root"}),
        ({"trace_filter": 'eq(name, "root")'}, {"root", "child"}),
        ({"tree_filter": 'eq(name, "child")'}, {"root", "child"}),
        ({"start_time": "2026-03-01T12:00:00"}, {"root", "child", "other"}),
        ({"cursor": None, "error": None}, {"root", "child", "other"}),
    ],
)
def test_conditions(langsmith: LangSmithStandIn, http: httpx.Client, body: dict[str, Any], names: set[str]) -> None:
    """Each field of the body selects runs; null is the same as no field."""
    root = langsmith.add_run(name="root")
    langsmith.add_run(name="child", parent_run_id=root, run_type="tool", error="no")
    langsmith.add_run(name="other", reference_example_id=UNKNOWN_ID)
    runs = query(http, session=[langsmith.project_id("default")], **body)["runs"]
    assert {run["name"] for run in runs} == names


def test_a_run_is_read_by_its_id(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """An unknown id is 404, a run of another project is 404, and another text than an id is 422."""
    run_id = langsmith.add_run()
    assert http.get(f"/api/v1/runs/{run_id}").json()["id"] == run_id
    unknown = http.get(f"/api/v1/runs/{UNKNOWN_ID}")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Run not found"})
    assert http.get(f"/api/v1/runs/{run_id}", params={"session_id": UNKNOWN_ID}).status_code == 404
    assert http.get("/api/v1/runs/first").status_code == 422


def test_offloaded_payloads_are_behind_urls(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """v1 answers null and, if selected, a signed URL of the payload that needs no key."""
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
