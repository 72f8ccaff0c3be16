"""Each fault, as a plain HTTP client sees it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn

V1, V2 = "/api/v1/runs/query", "/api/v2/runs/query"


@pytest.fixture
def bodies(langsmith: LangSmithStandIn) -> dict[str, dict[str, Any]]:
    """A project of five runs, and the query for pages of two runs in each version."""
    for _ in range(5):
        langsmith.add_run(project="shop", start_time="2026-03-01T11:00:00Z")
    project = langsmith.project_id("shop")
    return {V1: {"session": [project], "limit": 2}, V2: {"project_ids": [project], "page_size": 2}}


def statuses(http: httpx.Client, bodies: dict[str, dict[str, Any]], paths: Iterable[str]) -> list[int]:
    """Return the statuses of the answers."""
    return [http.post(path, json=bodies[path]).status_code for path in paths]


def next_cursor(answer: httpx.Response) -> str | None:
    """Return the cursor of either version."""
    page = answer.json()
    cursor: str | None = page["cursors"]["next"] if "cursors" in page else page.get("next_cursor")
    return cursor


def test_a_fault_happens_once(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]]
) -> None:
    """By default only the next run query of either version fails."""
    langsmith.misbehave("status")
    assert statuses(http, bodies, [V2, V1]) == [503, 200]
    assert langsmith.unspent_faults == []


def test_faults_happen_in_order(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]]
) -> None:
    """Faults happen in the order of the script; a fault without an end comes last."""
    langsmith.misbehave("status", status=500, times=None)
    langsmith.misbehave("status", status=502, after=1)
    langsmith.misbehave("rate_limit", times=2)
    assert statuses(http, bodies, [V1] * 6) == [200, 502, 429, 429, 500, 500]
    langsmith.behave()
    assert statuses(http, bodies, [V1]) == [200]


def test_unspent_faults_are_listed(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A test can check that each of its faults has happened."""
    langsmith.misbehave("status", path="/sessions", times=2)
    langsmith.misbehave("reset", path="/sessions", times=None)
    http.get("/sessions")
    assert [(fault.kind, fault.happened) for fault in langsmith.unspent_faults] == [("status", 1), ("reset", 0)]
    langsmith.behave()
    assert langsmith.unspent_faults == []


def test_other_paths_do_not_fail(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A fault of run queries does not apply to projects."""
    langsmith.misbehave("status")
    assert http.get("/sessions").status_code == 200
    assert len(langsmith.unspent_faults) == 1


@pytest.mark.parametrize(
    ("body", "content", "mime"),
    [
        (None, b'{"detail": "Service Temporarily Unavailable"}', "application/json"),
        ({"error": "x"}, b'{"error": "x"}', "application/json"),
        ("oops", b"oops", "text/plain"),
        (b"\x00", b"\x00", "application/octet-stream"),
    ],
)
def test_a_status_may_have_any_body_and_headers(
    langsmith: LangSmithStandIn, http: httpx.Client, body: object, content: bytes, mime: str
) -> None:
    """JSON, text or bytes are sent as they are."""
    langsmith.misbehave("status", path="/sessions", body=body, headers={"X-Why": "test"})
    answer = http.get("/sessions")
    assert (answer.content, answer.headers["content-type"], answer.headers["x-why"]) == (content, mime, "test")


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (2, "2"), (0.5, "0.5")])
def test_a_rate_limit_may_have_retry_after(
    langsmith: LangSmithStandIn, http: httpx.Client, retry_after: float | None, header: str | None
) -> None:
    """The answer has Retry-After if the fault has it."""
    langsmith.misbehave("rate_limit", path="/sessions", retry_after=retry_after)
    answer = http.get("/sessions")
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, header)


def test_a_proxy_answers_in_html(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The page is that of nginx."""
    langsmith.misbehave("html", path="/sessions")
    answer = http.get("/sessions")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    assert "<h1>502 Bad Gateway</h1>" in answer.text


def test_a_connection_can_be_reset(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The client gets no answer, and the request is recorded with status 0."""
    langsmith.misbehave("reset", path="/sessions")
    with pytest.raises(httpx.TransportError):
        http.get("/sessions")
    assert [request.status for request in langsmith.requests] == [0]
    assert http.get("/sessions").status_code == 200


def test_an_answer_can_be_truncated(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]]
) -> None:
    """The connection breaks before the announced length; or the body has that length, but is not JSON."""
    langsmith.misbehave("truncate")
    langsmith.misbehave("truncate", clean=True)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(V1, json=bodies[V1])
    cut = http.post(V1, json=bodies[V1])
    assert cut.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        cut.json()


def test_an_answer_can_be_late(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A client with a short timeout gets no answer."""
    langsmith.misbehave("delay", path="/sessions", seconds=60)
    langsmith.misbehave("delay", path="/sessions", seconds=0.02)
    with pytest.raises(httpx.ReadTimeout):
        http.get("/sessions", timeout=0.02)
    patient = http.get("/sessions")
    assert patient.status_code == 200
    assert patient.elapsed >= timedelta(seconds=0.02)


@pytest.mark.parametrize("path", [V1, V2])
def test_a_cursor_can_repeat_itself(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]], path: str
) -> None:
    """The second page has its own cursor: a client that does not notice reads it for ever."""
    langsmith.misbehave("repeat_cursor", after=1)
    first = next_cursor(http.post(path, json=bodies[path]))
    second = next_cursor(http.post(path, json={**bodies[path], "cursor": first}))
    assert second == first
    third = next_cursor(http.post(path, json={**bodies[path], "cursor": first}))
    assert third not in (None, first)


@pytest.mark.parametrize("path", [V1, V2])
def test_a_page_can_lose_its_cursor(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]], path: str
) -> None:
    """A full page has no cursor, although there are more runs."""
    langsmith.misbehave("lose_cursor")
    assert next_cursor(http.post(path, json=bodies[path])) is None


def ids(answer: httpx.Response) -> list[str]:
    """Return the ids of the runs of either version."""
    page = answer.json()
    return [run["id"] for run in page.get("runs", page.get("items"))]


def read_pages(http: httpx.Client, path: str, body: dict[str, Any], max_pages: int) -> list[list[str]]:
    """Return the ids on each page, of at most so many pages. No cursor may repeat."""
    pages: list[list[str]] = []
    cursors: list[str] = []
    while len(pages) < max_pages:
        answer = http.post(path, json=body | ({"cursor": cursors[-1]} if cursors else {}))
        pages.append(ids(answer))
        cursor = next_cursor(answer)
        if cursor is None:
            break
        cursors.append(cursor)
    assert len(set(cursors)) == len(cursors)
    return pages


@pytest.mark.parametrize("path", [V1, V2])
def test_pages_can_be_empty_or_old(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]], path: str
) -> None:
    """A page can be empty, or the first page again; the right page follows."""
    first, second, third = read_pages(http, path, bodies[path], 9)
    langsmith.misbehave("empty_page")
    langsmith.misbehave("old_page", after=2)
    assert read_pages(http, path, bodies[path], 9) == [[], first, second, first, third]


@pytest.mark.parametrize("path", [V1, V2])
def test_pages_can_form_a_circle(
    langsmith: LangSmithStandIn, http: httpx.Client, bodies: dict[str, dict[str, Any]], path: str
) -> None:
    """The last page has a cursor to the first page, each time with another text."""
    pages = read_pages(http, path, bodies[path], 9)
    langsmith.misbehave("circle", times=None)
    assert read_pages(http, path, bodies[path], 9) == 3 * pages


@pytest.mark.parametrize(("path", "size"), [(V1, "limit"), (V2, "page_size")])
@pytest.mark.parametrize(("last_cursor", "pages"), [(True, [2, 2, 0]), (False, [2, 2])])
def test_a_full_last_page(path: str, size: str, pages: list[int], *, last_cursor: bool) -> None:
    """A full last page has a cursor to an empty page, or no cursor."""
    with LangSmithStandIn(last_cursor=last_cursor) as langsmith:
        for _ in range(4):
            langsmith.add_run(project="shop", start_time="2026-03-01T11:00:00Z")
        project = langsmith.project_id("shop")
        body: dict[str, Any] = {"project_ids": [project], "min_start_time": "2026-03-01T00:00:00Z"}
        body = {"session": [project]} if path == V1 else body
        with httpx.Client(base_url=langsmith.url, headers={"X-API-Key": langsmith.api_key}) as http:
            assert [len(page) for page in read_pages(http, path, body | {size: 2}, 9)] == pages


@pytest.mark.parametrize(("path", "size"), [(V1, "limit"), (V2, "page_size")])
@pytest.mark.parametrize("status", [None, 502, 504])
def test_pages_can_be_too_large(
    langsmith: LangSmithStandIn,
    http: httpx.Client,
    bodies: dict[str, dict[str, Any]],
    path: str,
    size: str,
    status: int | None,
) -> None:
    """Only a request for a smaller page succeeds, each time."""
    langsmith.misbehave("too_large", times=None, largest_page=2, status=status)
    answers = [http.post(path, json={**bodies[path], size: number}) for number in (3, 2, 3, 1)]
    refused = status or 413
    assert [answer.status_code for answer in answers] == [refused, 200, refused, 200]
    assert answers[0].headers["content-type"] == "text/html"


def test_an_impossible_fault_is_refused(langsmith: LangSmithStandIn) -> None:
    """A fault of an unknown kind, or without its argument, is a ValueError."""
    with pytest.raises(ValueError, match="no misbehaviour"):
        langsmith.misbehave("explode")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="largest_page"):
        langsmith.misbehave("too_large")


def test_an_answer_can_drip(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """An answer that drips is correct, with a wait after each byte."""
    langsmith.misbehave("drip", path="/info", seconds=0.0001)
    slow, quick = http.get("/api/v1/info"), http.get("/api/v1/info")
    assert slow.json() == quick.json()
    assert slow.elapsed.total_seconds() > 0.0001 * len(slow.content)
