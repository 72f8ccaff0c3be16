"""Runs that clients log, in each form and order."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn

ROOT, CHILD = "a0000000-0000-4000-8000-000000000000", "b0000000-0000-4000-8000-000000000000"
START, END = "2026-03-01T11:00:00Z", "2026-03-01T11:00:02Z"
POST: dict[str, Any] = {
    "id": ROOT,
    "name": "agent",
    "run_type": "chain",
    "start_time": START,
    "session_name": "shop",
    "inputs": {"q": 1},
    "tags": ["a"],
}
PATCH: dict[str, Any] = {"end_time": END, "outputs": {"a": 2}}
BOUNDARY = "frontier"


def form(parts: dict[str, object]) -> dict[str, Any]:
    """Write a form of JSON parts and files, which are bytes."""
    lines = b""
    for name, value in parts.items():
        mime, content = (
            ("image/png", value) if isinstance(value, bytes) else ("application/json", json.dumps(value).encode())
        )
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {mime}\r\n\r\n'
        lines += head.encode() + content + b"\r\n"
    return {
        "content": lines + f"--{BOUNDARY}--\r\n".encode(),
        "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    }


def read(http: httpx.Client, run_id: str = ROOT) -> dict[str, Any]:
    """Read a run."""
    run: dict[str, Any] = http.get(f"/runs/{run_id}").json()
    return run


def test_a_run_is_created_and_changed(http: httpx.Client) -> None:
    """A run is pending until a change ends it."""
    assert http.post("/runs", json=POST).status_code == 202
    pending = read(http)
    assert (pending["status"], pending["end_time"], pending["trace_id"]) == ("pending", None, ROOT)
    assert http.patch(f"/runs/{ROOT}", json=PATCH).status_code == 202
    ended = read(http)
    assert (ended["status"], ended["end_time"], ended["outputs"]) == ("success", END.rstrip("Z"), {"a": 2})
    assert http.patch(f"/runs/{ROOT}", json={"error": "boom"}).status_code == 202
    assert read(http)["status"] == "error"


@pytest.mark.parametrize("sent", ["batch", "multipart"])
def test_a_batch_is_the_same_as_single_requests(http: httpx.Client, sent: str) -> None:
    """A run and its change in one request, in either form, become the same run."""
    if sent == "batch":
        http.post("/runs/batch", json={"post": [POST], "patch": [{"id": ROOT, **PATCH}]}).raise_for_status()
    else:
        whole = {name: value for name, value in POST.items() if name != "inputs"}
        parts = {f"post.{ROOT}": whole, f"post.{ROOT}.inputs": POST["inputs"], f"patch.{ROOT}": PATCH}
        http.post("/runs/multipart", **form(parts)).raise_for_status()
    run = read(http)
    assert (run["name"], run["inputs"], run["outputs"], run["status"]) == ("agent", {"q": 1}, {"a": 2}, "success")


def test_a_change_may_arrive_before_its_run(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """The change waits until its run arrives."""
    http.patch(f"/runs/{ROOT}", json=PATCH).raise_for_status()
    http.patch(f"/runs/{ROOT}", json={"error": "late", "outputs": None}).raise_for_status()
    assert http.get(f"/runs/{ROOT}").status_code == 404
    http.post("/runs", json=POST).raise_for_status()
    run = read(http)
    assert (run["inputs"], run["outputs"], run["error"], run["status"]) == ({"q": 1}, {"a": 2}, "late", "error")


def test_a_null_never_overwrites(http: httpx.Client) -> None:
    """The SDK sends null for fields that it does not change."""
    http.post("/runs", json=POST).raise_for_status()
    before = read(http)
    http.patch(f"/runs/{ROOT}", json=dict.fromkeys([*POST, *PATCH, "error", "extra"])).raise_for_status()
    assert read(http) == before


def test_a_run_with_another_start_is_listed_once(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A run whose start changes is listed in its new place only."""
    http.post("/runs", json=POST).raise_for_status()
    later = langsmith.add_run(project="shop", start_time="2026-03-01T11:00:01Z")
    query = {"session": [langsmith.project_id("shop")], "order": "asc"}
    assert [run["id"] for run in http.post("/runs/query", json=query).json()["runs"]] == [ROOT, later]
    http.patch(f"/runs/{ROOT}", json={"start_time": END}).raise_for_status()
    assert [run["id"] for run in http.post("/runs/query", json=query).json()["runs"]] == [later, ROOT]


def test_the_place_in_the_trace_follows_from_order_or_parent(http: httpx.Client) -> None:
    """The dotted order alone is enough, and so is the parent alone."""
    http.post("/runs", json=POST).raise_for_status()
    order = read(http)["dotted_order"]
    assert order == f"20260301T110000000000Z{ROOT}"
    ordered = {**POST, "id": CHILD, "dotted_order": f"{order}.20260301T110000000000Z{CHILD}"}
    under = {**POST, "id": CHILD.replace("b", "c"), "parent_run_id": CHILD}
    for run in (ordered, under):
        http.post("/runs", json=run).raise_for_status()
    child, grandchild = read(http, CHILD), read(http, under["id"])
    assert (child["parent_run_id"], child["trace_id"]) == (ROOT, ROOT)
    assert (grandchild["trace_id"], grandchild["parent_run_ids"]) == (ROOT, [ROOT, CHILD])
    assert grandchild["dotted_order"].startswith(child["dotted_order"] + ".")


def test_children_may_come_before_their_parents_in_a_batch(http: httpx.Client) -> None:
    """The order within a request does not matter."""
    order = f"20260301T110000000000Z{ROOT}"
    child = {**POST, "id": CHILD, "parent_run_id": ROOT, "dotted_order": f"{order}.20260301T110000000000Z{CHILD}"}
    http.post("/runs/batch", json={"post": [child, {**POST, "dotted_order": order}]}).raise_for_status()
    assert read(http, CHILD)["trace_id"] == ROOT
    (root,) = http.post("/runs/query", json={"trace": ROOT, "is_root": True}).json()["runs"]
    assert root["id"] == ROOT


@pytest.mark.parametrize("name", ["photo", "my photo #1?", "a/b", "größe"])
def test_attachments_are_read_by_any_name(langsmith: LangSmithStandIn, http: httpx.Client, name: str) -> None:
    """Both versions have a URL of the file, and v1 also its type."""
    content = b"\x89PNG\r\n--frontie\x00"
    http.post(
        "/runs/multipart", **form({f"post.{ROOT}": POST, f"attachment.{ROOT}.{name}": content})
    ).raise_for_status()
    (run,) = http.post("/runs/query", json={"id": [ROOT], "select": ["s3_urls"]}).json()["runs"]
    file = run["s3_urls"][f"attachment.{name}"]
    v2 = {"project_id": langsmith.project_id("shop"), "selects": "ATTACHMENTS"}
    url = http.get(f"/api/v2/runs/{ROOT}", params=v2).json()["attachments"][name]
    assert (file["mime_type"], http.get(file["presigned_url"]).content) == ("image/png", content)
    assert http.get(url).content == content


def test_feedback_may_arrive_before_its_run(http: httpx.Client) -> None:
    """The feedback gets its trace and project when the run arrives."""
    feedback = {"id": CHILD, "run_id": ROOT, "key": "score", "score": 1}
    http.post("/runs/multipart", **form({f"feedback.{CHILD}": feedback})).raise_for_status()
    http.post("/runs", json=POST).raise_for_status()
    (item,) = http.get("/feedback", params={"run": ROOT}).json()
    assert (item["trace_id"], item["session_id"]) == (ROOT, read(http)["session_id"])


@pytest.mark.parametrize(
    "body",
    [
        {**POST, "name": None},
        {**POST, "id": "r1"},
        {**POST, "run_type": "LLM"},
        {**POST, "start_time": "yesterday"},
        {**POST, "session_id": CHILD},
    ],
)
def test_an_invalid_run_is_422(http: httpx.Client, body: dict[str, Any]) -> None:
    """A missing field, or a field of another type, is named."""
    answer = http.post("/runs", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "request_",
    [
        {"json": POST},
        form({"note": {}}),
        form({f"post.{ROOT}": []}),
        form({f"post.{ROOT}.colour": {}}),
        {**form({}), "content": b"--frontier\r\n\r\n{}"},
    ],
    ids=["no form", "unknown part", "no object", "unknown payload", "no end"],
)
def test_an_invalid_form_is_422(http: httpx.Client, request_: dict[str, Any]) -> None:
    """An unknown part fails the whole form."""
    assert http.post("/runs/multipart", **request_).status_code == 422


def test_an_invalid_batch_is_422(http: httpx.Client) -> None:
    """The runs must be a list, and a change needs an id."""
    assert http.post("/runs/batch", json={"post": POST}).status_code == 422
    assert http.post("/runs/batch", json={"patch": [PATCH]}).status_code == 422
