"""What the stand-in will not do: the refusals LangSmith is known for, in the words and forms of each version."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.settings import Backend

V1, V2 = "/api/v1/runs/query", "/api/v2/runs/query"
HOUR_AGO = "2026-03-01T11:00:00Z"
NOBODY = "7f0c2d4e-0000-4000-8000-000000000000"
HTTP_ERRORS = {400: "Bad Request", 404: "Not Found", 406: "Not Acceptable", 422: "Unprocessable Entity"}


@pytest.fixture
def project(langsmith: LangSmithStandIn) -> str:
    """A project with one run, an hour old."""
    langsmith.add_run(project="shop", start_time=HOUR_AGO)
    return langsmith.project_id("shop")


@pytest.mark.parametrize("body", [{}, {"session": []}, {"session": None}, {"is_root": True, "filter": 'eq(name, "x")'}])
def test_v1_needs_a_scope(http: httpx.Client, body: dict[str, Any]) -> None:
    """A query that names neither project, ids, parent, trace nor example is 400, in the words of the service."""
    answer = http.post(V1, json=body)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "detail": "At least one of 'session', 'id', 'parent_run', 'trace' or 'reference_example' must be specified",
        },
    )


def test_v1_pages_have_a_hundred_runs_at_most(http: httpx.Client, project: str) -> None:
    """One more is 400 and tells the limit; a hundred are welcome."""
    refused = http.post(V1, json={"session": [project], "limit": 101})
    assert (refused.status_code, refused.json()) == (400, {"detail": "Limit exceeds maximum allowed value of 100"})
    assert http.post(V1, json={"session": [project], "limit": 100}).status_code == 200


@pytest.mark.parametrize(
    "field",
    [
        {"sesion": []},
        {"project_ids": [NOBODY]},
        {"run_type": "LLM"},
        {"select": ["ID"]},
        {"select": "id"},
        {"order": "newest"},
        {"limit": 0},
        {"limit": "10"},
        {"is_root": "true"},
        {"execution_order": 2},
        {"trace": "t1"},
        {"id": ["r1"]},
        {"start_time": "yesterday"},
        {"data_source_type": "all"},
    ],
)
def test_v1_names_the_field_it_does_not_understand(http: httpx.Client, project: str, field: dict[str, Any]) -> None:
    """An unknown field, a word in the wrong case or a value of the wrong type is 422, in the form of the validator."""
    answer = http.post(V1, json={"session": [project], **field})
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["body", *field]
    assert {"loc", "msg", "type"} == set(fault)


@pytest.mark.parametrize(
    "field",
    [
        {"session": [NOBODY]},
        {"order": "desc"},
        {"limit": 10},
        {"run_type": "llm"},
        {"selects": ["id"]},
        {"selects": "ID"},
        {"page_size": 0},
        {"page_size": 1001},
        {"page_size": "10"},
        {"has_error": "false"},
        {"is_root": None},
        {"trace_id": "t1"},
        {"project_ids": ["p1"]},
        {"min_start_time": "2026-03-01T00:00:00"},
        {"max_start_time": "2026-03-01"},
    ],
)
def test_v2_names_the_field_it_does_not_understand(http: httpx.Client, project: str, field: dict[str, Any]) -> None:
    """The same strictness as problem details; a time needs its zone."""
    answer = http.post(V2, json={"project_ids": [project], **field})
    problem = answer.json()
    assert answer.status_code == problem["status"] == 422
    assert problem["detail"].startswith(f"invalid request: {next(iter(field))}: ")
    assert (problem["type"], problem["title"], problem["instance"]) == (
        "about:blank",
        HTTP_ERRORS[422],
        "/v2/runs/query",
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"project_ids": []}, 400),
        ({"ids": [NOBODY]}, 400),
        ({"project_ids": [NOBODY], "reference_dataset_id": NOBODY}, 400),
        ({"project_ids": [NOBODY]}, 404),
    ],
)
def test_v2_needs_projects_or_a_dataset(http: httpx.Client, body: dict[str, Any], status: int) -> None:
    """Exactly one of the two, even when ids are given; a project that is not there is 404."""
    answer = http.post(V2, json=body)
    assert (answer.status_code, answer.json()["title"]) == (status, HTTP_ERRORS[status])
    if status == 404:
        assert answer.json()["detail"] == "session not found"


def test_v2_pages_have_a_thousand_runs_at_most(http: httpx.Client, project: str) -> None:
    """A thousand are welcome."""
    assert http.post(V2, json={"project_ids": [project], "page_size": 1000}).status_code == 200


def test_v2_gives_ids_of_the_last_day_to_those_who_do_not_ask(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Without selects there are only ids; without bounds only runs from a day ago to now."""
    for start in ("2026-02-28T11:59:59Z", "2026-03-01T12:00:01Z"):
        langsmith.add_run(project="shop", start_time=start)
    inside = [
        langsmith.add_run(project="shop", start_time=start)
        for start in ("2026-03-01T11:59:59Z", "2026-02-28T12:00:00Z")
    ]
    answer = http.post(V2, json={"project_ids": [langsmith.project_id("shop")]})
    assert answer.json() == {"items": [{"id": run} for run in inside]}


def test_v2_ids_do_not_open_the_window(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A run that is asked for by its id has to lie within the bounds all the same; v1 asks no more than the id."""
    old = langsmith.add_run(project="shop", start_time="2025-01-01T00:00:00Z")
    project = langsmith.project_id("shop")
    assert http.post(V2, json={"project_ids": [project], "ids": [old]}).json() == {"items": []}
    narrow = {"id": [old], "run_type": "llm", "start_time": HOUR_AGO}
    assert [run["id"] for run in http.post(V1, json=narrow).json()["runs"]] == [old]


def test_v2_bounds_on_feedback_need_a_condition_on_feedback(http: httpx.Client, project: str) -> None:
    """Such a bound says which feedback a filter speaks of; without one it means nothing."""
    body = {"project_ids": [project], "min_feedback_modified_at": "2026-03-01T00:00:00Z"}
    assert http.post(V2, json=body).status_code == 400
    assert http.post(V2, json={**body, "filter": 'eq(name, "run")'}).status_code == 400
    assert http.post(V2, json={**body, "filter": 'eq(feedback_key, "x")'}).status_code == 200


def test_a_cursor_belongs_into_the_body(langsmith: LangSmithStandIn, http: httpx.Client, project: str) -> None:
    """In the query string it is ignored, and the first page comes again; one that was never given out is 400."""
    langsmith.add_run(project="shop", start_time=HOUR_AGO)
    body = {"project_ids": [project], "page_size": 1}
    first = http.post(V2, json=body).json()
    assert http.post(V2, json=body, params={"cursor": first["next_cursor"]}).json() == first
    assert http.post(V2, json={**body, "cursor": first["next_cursor"]}).json()["items"] != first["items"]
    assert http.post(V2, json={**body, "cursor": "?"}).status_code == 400
    assert http.post(V1, json={"session": [project], "cursor": "bm8="}).status_code == 400


def test_plain_language_is_not_understood(http: httpx.Client, project: str) -> None:
    """v2 searches stream or say 406; this deployment has none of them, nor those of v1."""
    body = {"project_ids": [project], "ai_search": "angry customers"}
    assert http.post(V2, json=body).status_code == 406
    assert http.post(V2, json=body, headers={"Accept": "text/event-stream"}).status_code == 501
    assert http.post(V1, json={"session": [project], "query": "angry customers"}).status_code == 501


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_422(http: httpx.Client, path: str, content: bytes) -> None:
    """Both versions say so in their own form."""
    answer = http.post(path, content=content)
    assert answer.status_code == 422
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    ("backend", "version", "v1", "v2"),
    [
        ("clickhouse", "0.15.9", 200, 404),
        ("clickhouse", "0.16.0", 200, 200),
        ("smithdb", "0.17.0", 501, 200),
        ("dual", "0.18.0", 404, 200),
    ],
)
def test_deployments_serve_what_their_release_has(backend: Backend, version: str, v1: int, v2: int) -> None:
    """v2 came with 0.16, v1 went with 0.18, and without ClickHouse v1 is 501."""
    with (
        LangSmithStandIn(backend=backend, version=version) as server,
        httpx.Client(base_url=server.url, headers={"X-API-Key": server.api_key}) as client,
    ):
        project = server.add_project("shop")
        assert client.post(V1, json={"session": [project]}).status_code == v1
        assert client.post(V2, json={"project_ids": [project]}).status_code == v2


def test_v1_announces_its_end(http: httpx.Client, project: str) -> None:
    """Deprecated answers carry the headers that say so; those of v2 do not."""
    v1 = http.post(V1, json={"session": [project]})
    assert (v1.headers["deprecation"], v1.headers["sunset"]) == ("true", "Sun, 31 Jan 2027 00:00:00 GMT")
    assert "sunset" not in http.post(V2, json={"project_ids": [project]}).headers


def test_a_run_that_is_not_there_is_404(http: httpx.Client, project: str) -> None:
    """Each version says so in its own words; v2 also needs to know the project."""
    v1, v2 = http.get(f"/runs/{NOBODY}"), http.get(f"/api/v2/runs/{NOBODY}", params={"project_id": project})
    assert (v1.status_code, v1.json()) == (404, {"detail": "Run not found"})
    assert (v2.status_code, v2.json()) == (404, {"error": "run not found: resource not found"})
    assert http.get(f"/api/v2/runs/{NOBODY}").status_code == 422
    assert http.get("/runs/r1").status_code == 422


@pytest.mark.parametrize("path", ["/sessions", "/feedback"])
@pytest.mark.parametrize("asked", ["limit=101", "limit=0", "limit=ten", "offset=-1"])
def test_lists_have_limits(http: httpx.Client, path: str, asked: str) -> None:
    """Projects and feedback come by the hundred."""
    answer = http.get(f"{path}?{asked}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", asked.partition("=")[0]]


@pytest.mark.parametrize("asked", ["run=r1", "source=user", "level=trace", "has_score=maybe", "min_created_at=now"])
def test_feedback_is_asked_for_properly(http: httpx.Client, asked: str) -> None:
    """A parameter of the wrong type or an unknown word is 422."""
    assert http.get(f"/feedback?{asked}").status_code == 422


def test_an_unknown_project_name_is_an_empty_list(http: httpx.Client) -> None:
    """It is not 404, as an unknown id is."""
    answer = http.get("/sessions", params={"name": "nobody"})
    assert (answer.status_code, answer.json()) == (200, [])
    assert http.get(f"/sessions/{NOBODY}").status_code == 404


def test_stats_need_a_project(http: httpx.Client, project: str) -> None:
    """Without one they are 422; groups are not served."""
    assert http.post("/runs/stats", json={"trace": NOBODY}).status_code == 422
    assert http.post("/runs/stats", json={"session": [project], "group_by": {"attribute": "name"}}).status_code == 501
    assert http.post("/runs/stats", json={"session": [project]}).json()["run_count"] == 1


def test_the_validator_only_looks_at_the_question(http: httpx.Client, project: str) -> None:
    """It says what is wrong, under status 200."""
    good = http.post("/runs/query/validate", json={"session": [project], "filter": 'eq(name, "x")'})
    bad = http.post("/runs/query/validate", json={"session": [project], "filter": "neq(error, null)"})
    assert (good.status_code, good.json()) == (200, {"valid": True, "errors": []})
    assert (bad.status_code, bad.json()["valid"], bad.json()["errors"][0]["field"]) == (200, False, "filter")
