"""The refusals of LangSmith, in the words and forms of each version."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.settings import Backend
from tests.testing.conftest import UNKNOWN_ID

V1, V2 = "/api/v1/runs/query", "/api/v2/runs/query"
HOUR_AGO = "2026-03-01T11:00:00Z"
HTTP_ERRORS = {400: "Bad Request", 404: "Not Found", 406: "Not Acceptable", 422: "Unprocessable Entity"}


@pytest.fixture
def project(langsmith: LangSmithStandIn) -> str:
    """A project with one run, an hour old."""
    langsmith.add_run(project="shop", start_time=HOUR_AGO)
    return langsmith.project_id("shop")


@pytest.mark.parametrize("body", [{}, {"session": []}, {"session": None}, {"is_root": True, "filter": 'eq(name, "x")'}])
def test_v1_needs_a_scope(http: httpx.Client, body: dict[str, Any]) -> None:
    """A query without project, ids, parent, trace and example is 400, in the words of LangSmith."""
    answer = http.post(V1, json=body)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "detail": "At least one of 'session', 'id', 'parent_run', 'trace' or 'reference_example' must be specified",
        },
    )


def test_v1_pages_have_at_most_a_hundred_runs(http: httpx.Client, project: str) -> None:
    """A page of 100 runs is served, and 101 is 400."""
    refused = http.post(V1, json={"session": [project], "limit": 101})
    assert (refused.status_code, refused.json()) == (400, {"detail": "Limit exceeds maximum allowed value of 100"})
    assert http.post(V1, json={"session": [project], "limit": 100}).status_code == 200


@pytest.mark.parametrize(
    "field",
    [
        {"sesion": []},
        {"project_ids": [UNKNOWN_ID]},
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
def test_v1_names_an_invalid_field(http: httpx.Client, project: str, field: dict[str, Any]) -> None:
    """An unknown field, a word in another case or a value of another type is 422, in the form of the validator."""
    answer = http.post(V1, json={"session": [project], **field})
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert error["loc"] == ["body", *field]
    assert {"loc", "msg", "type"} == set(error)


@pytest.mark.parametrize(
    "field",
    [
        {"session": [UNKNOWN_ID]},
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
def test_v2_names_an_invalid_field(http: httpx.Client, project: str, field: dict[str, Any]) -> None:
    """The same is 422 as problem details; a time needs a zone."""
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
        ({"ids": [UNKNOWN_ID]}, 400),
        ({"project_ids": [UNKNOWN_ID], "reference_dataset_id": UNKNOWN_ID}, 400),
        ({"project_ids": [UNKNOWN_ID]}, 404),
    ],
)
def test_v2_needs_projects_or_a_dataset(http: httpx.Client, body: dict[str, Any], status: int) -> None:
    """A query needs exactly one of the two, also with ids; an unknown project is 404."""
    answer = http.post(V2, json=body)
    assert (answer.status_code, answer.json()["title"]) == (status, HTTP_ERRORS[status])
    if status == 404:
        assert answer.json()["detail"] == "session not found"


def test_v2_serves_pages_of_a_thousand_runs(http: httpx.Client, project: str) -> None:
    """The largest page size is served; one more is among the invalid fields above."""
    assert http.post(V2, json={"project_ids": [project], "page_size": 1000}).status_code == 200


def test_v2_answers_ids_of_the_last_day_by_default(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Without ``selects`` a row is an id, and without bounds the runs are from a day ago to now, to the second."""
    for start in ("2026-02-28T11:59:59Z", "2026-03-01T12:00:01Z"):
        langsmith.add_run(project="shop", start_time=start)
    inside = [
        langsmith.add_run(project="shop", start_time=start)
        for start in ("2026-03-01T11:59:59Z", "2026-02-28T12:00:00Z")
    ]
    answer = http.post(V2, json={"project_ids": [langsmith.project_id("shop")]})
    assert answer.json() == {"items": [{"id": run} for run in inside]}


def test_v2_bounds_on_feedback_need_a_condition_on_feedback(http: httpx.Client, project: str) -> None:
    """A bound on feedback is 400 if no filter has a condition on feedback."""
    body = {"project_ids": [project], "min_feedback_modified_at": "2026-03-01T00:00:00Z"}
    assert http.post(V2, json=body).status_code == 400
    assert http.post(V2, json={**body, "filter": 'eq(name, "run")'}).status_code == 400
    assert http.post(V2, json={**body, "filter": 'eq(feedback_key, "x")'}).status_code == 200


def test_an_invalid_cursor_is_400(http: httpx.Client, project: str) -> None:
    """A cursor that the server did not write is refused."""
    assert http.post(V2, json={"project_ids": [project], "cursor": "?"}).status_code == 400
    assert http.post(V1, json={"session": [project], "cursor": "bm8="}).status_code == 400


def test_searches_in_plain_language_are_refused(http: httpx.Client, project: str) -> None:
    """Searches in plain language are 406 without an event stream on v2, and 501 otherwise."""
    body = {"project_ids": [project], "ai_search": "angry customers"}
    assert http.post(V2, json=body).status_code == 406
    assert http.post(V2, json=body, headers={"Accept": "text/event-stream"}).status_code == 501
    assert http.post(V1, json={"session": [project], "query": "angry customers"}).status_code == 501


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_not_a_json_object_is_422(http: httpx.Client, path: str, content: bytes) -> None:
    """Both versions answer in their own form."""
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
def test_a_release_serves_its_versions_of_the_api(backend: Backend, version: str, v1: int, v2: int) -> None:
    """Release 0.16 adds v2, 0.18 removes v1, and v1 is 501 without ClickHouse."""
    with (
        LangSmithStandIn(backend=backend, version=version) as server,
        httpx.Client(base_url=server.url, headers={"X-API-Key": server.api_key}) as client,
    ):
        project = server.add_project("shop")
        assert client.post(V1, json={"session": [project]}).status_code == v1
        assert client.post(V2, json={"project_ids": [project]}).status_code == v2


def test_v1_is_deprecated(http: httpx.Client, project: str) -> None:
    """Answers of v1 have the headers of a deprecated endpoint; those of v2 do not."""
    v1 = http.post(V1, json={"session": [project]})
    assert (v1.headers["deprecation"], v1.headers["sunset"]) == ("true", "Sun, 31 Jan 2027 00:00:00 GMT")
    assert "sunset" not in http.post(V2, json={"project_ids": [project]}).headers


@pytest.mark.parametrize("path", ["/sessions", "/feedback"])
@pytest.mark.parametrize("query", ["limit=101", "limit=0", "limit=ten", "offset=-1"])
def test_lists_have_limits(http: httpx.Client, path: str, query: str) -> None:
    """A page of projects or feedback has at most 100 rows."""
    answer = http.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("query", ["run=r1", "source=user", "level=trace", "has_score=maybe", "min_created_at=now"])
def test_an_invalid_feedback_parameter_is_422(http: httpx.Client, query: str) -> None:
    """A parameter of another type, or an unknown word, is 422."""
    assert http.get(f"/feedback?{query}").status_code == 422


def test_an_unknown_project_name_is_an_empty_list(http: httpx.Client) -> None:
    """It is not 404, which an unknown id is."""
    answer = http.get("/sessions", params={"name": "nobody"})
    assert (answer.status_code, answer.json()) == (200, [])
    assert http.get(f"/sessions/{UNKNOWN_ID}").status_code == 404


def test_stats_need_a_project(http: httpx.Client, project: str) -> None:
    """Statistics without a project are 422; groups are 501."""
    assert http.post("/runs/stats", json={"trace": UNKNOWN_ID}).status_code == 422
    assert http.post("/runs/stats", json={"session": [project], "group_by": {"attribute": "name"}}).status_code == 501
    assert http.post("/runs/stats", json={"session": [project]}).json()["run_count"] == 1


def test_the_validator_answers_200(http: httpx.Client, project: str) -> None:
    """It names the invalid field with status 200."""
    good = http.post("/runs/query/validate", json={"session": [project], "filter": 'eq(name, "x")'})
    bad = http.post("/runs/query/validate", json={"session": [project], "filter": "neq(error, null)"})
    assert (good.status_code, good.json()) == (200, {"valid": True, "errors": []})
    assert (bad.status_code, bad.json()["valid"], bad.json()["errors"][0]["field"]) == (200, False, "filter")
