"""The stand-in as a server: addresses, keys, connections, and recorded requests."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import zlib
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.http_messages import Request
from airflow_langsmith.testing.rate_limits import RateLimits

WORKSPACE = "11111111-2222-4333-8444-555555555555"
QUERY = {"session": ["7f0c2d4e-0000-4000-8000-000000000000"]}


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1"])
def test_routes_of_v1_are_served_bare_and_prefixed(http: httpx.Client, prefix: str) -> None:
    """Each form of the SDK's api_url works."""
    assert http.get(f"{prefix}/sessions").json() == []


@pytest.mark.parametrize("prefix", ["/v2", "/api/v2"])
def test_routes_of_v2_are_served_with_and_without_api(
    langsmith: LangSmithStandIn, http: httpx.Client, prefix: str
) -> None:
    """The path in the specification works, and so does the path that the SDK sends."""
    project = langsmith.add_project("shop")
    assert http.post(f"{prefix}/runs/query", json={"project_ids": [project]}).json() == {"items": []}


def test_an_unknown_path_is_404_and_a_wrong_method_405(http: httpx.Client) -> None:
    """Both answers are JSON, as those of LangSmith are."""
    unknown, wrong = http.get("/api/v1/runs/query/nothing"), http.get("/api/v1/runs/query")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
    assert http.put("/api/v2/runs/query").status_code == 405
    assert http.head("/api/v1/runs/query").content == b""


def test_requests_are_recorded(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """Each request is recorded: path, query, headers, body, and the status of the answer."""
    http.get("/api/v1/feedback", params={"run": [QUERY["session"][0]] * 2, "limit": "5"})
    http.post("/api/v1/runs/query", json=QUERY, headers={"X-Extra": "yes"})
    listed, queried = langsmith.requests
    assert (listed.method, listed.path, listed.status) == ("GET", "/api/v1/feedback", 200)
    assert listed.query == {"run": QUERY["session"] * 2, "limit": "5"}
    assert listed.body is None
    assert (queried.body, queried.headers["x-extra"]) == (QUERY, "yes")
    assert langsmith.requests_to("/runs/query") == [queried]


def test_a_connection_serves_many_requests(langsmith: LangSmithStandIn) -> None:
    """A connection stays open after an answer, also after a refusal."""
    address = urlsplit(langsmith.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    for path, status in (("/info", 200), ("/sessions", 401), ("/nothing", 404), ("/info", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, connection.sock is not None) == (status, True)
    connection.close()


def test_large_answers_are_compressed_if_the_client_accepts_it(langsmith: LangSmithStandIn, http: httpx.Client) -> None:
    """A page is gzip if the client accepts gzip, and plain otherwise."""
    langsmith.add_run(inputs={"text": "x" * 5000})
    query = {"session": [langsmith.project_id("default")]}
    packed = http.post("/runs/query", json=query)
    plain = http.post("/runs/query", json=query, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 2000
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_request_bodies_may_be_compressed(http: httpx.Client, encoding: str, pack: type[bytes]) -> None:
    """A compressed body is read."""
    body = pack(json.dumps(QUERY).encode())
    answer = http.post("/runs/query", content=body, headers={"Content-Encoding": encoding})
    assert answer.json()["runs"] == []


def test_a_body_in_an_unknown_or_false_encoding_is_refused(http: httpx.Client) -> None:
    """An unknown encoding is 415, and a body in another encoding is 400."""
    unknown = http.post("/runs/query", content=b"?", headers={"Content-Encoding": "zstd"})
    false = http.post("/runs/query", content=b"?", headers={"Content-Encoding": "gzip"})
    assert (unknown.status_code, false.status_code) == (415, 400)


def test_a_body_may_come_in_chunks(http: httpx.Client) -> None:
    """A chunked body is read."""
    text = json.dumps(QUERY).encode()
    answer = http.post("/runs/query", content=iter([text[:5], text[5:]]))
    assert answer.json()["runs"] == []


@pytest.mark.parametrize("key", [None, "lsv2_pt_wrong"])
def test_no_key_and_a_wrong_key_are_401(langsmith: LangSmithStandIn, key: str | None) -> None:
    """Each version answers in its own form; only /info needs no key."""
    with httpx.Client(base_url=langsmith.url, headers={"X-API-Key": key} if key else {}) as client:
        v1, v2 = client.get("/sessions"), client.post("/api/v2/runs/query", json={})
        assert (v1.status_code, v1.json()) == (401, {"detail": "Invalid token"})
        assert (v2.status_code, v2.json()["title"], v2.json()["instance"]) == (401, "Unauthorized", "/v2/runs/query")
        assert client.get("/info").status_code == 200


def test_another_workspace_is_403() -> None:
    """Another X-Tenant-Id is 403, and no X-Tenant-Id is 403 if the key is that of an organisation."""
    with (
        LangSmithStandIn(workspace_id=WORKSPACE, require_workspace=True) as server,
        httpx.Client(base_url=server.url, headers={"X-API-Key": server.api_key}) as client,
    ):
        none = client.get("/sessions")
        wrong = client.get("/sessions", headers={"X-Tenant-Id": "22222222-2222-4333-8444-555555555555"})
        right = client.get("/sessions", headers={"X-Tenant-Id": server.workspace_id})
        assert (none.status_code, none.json()) == (403, {"error": "org_scoped_key_requires_workspace"})
        assert (wrong.status_code, wrong.json()) == (403, {"error": "Forbidden"})
        assert right.status_code == 200


@pytest.mark.parametrize(
    ("backend", "clickhouse", "smithdb"), [("clickhouse", True, False), ("smithdb", False, True), ("dual", True, True)]
)
def test_info_names_the_backend(backend: str, clickhouse: bool, smithdb: bool) -> None:
    """The flags are those by which clients choose the API version."""
    with LangSmithStandIn(backend=backend, version="0.17.1") as server:  # type: ignore[arg-type]
        info = httpx.get(f"{server.url}/api/v1/info").json()
    assert info["version"] == "0.17.1"
    assert info["instance_flags"]["ch_query_enabled"] is clickhouse
    assert info["instance_flags"]["sdb_query_enabled"] is smithdb


def test_rate_limits_count_in_fixed_windows() -> None:
    """Requests over the limit are refused until the window ends."""
    clock = [100.0]
    limits = RateLimits({"/runs/query": (2, 10.0)}, retry_after=True, clock=lambda: clock[0])
    query, other = (Request("POST", path, 1, {}, {}, b"", "") for path in ("/runs/query", "/sessions"))
    assert [limits.check(query) is None for _ in range(3)] == [True, True, False]
    assert limits.check(other) is None
    clock[0] = 107.5
    refused = limits.check(query)
    assert refused is not None
    assert (refused.status, refused.headers) == (429, {"Retry-After": "3"})
    clock[0] = 110.0
    assert limits.check(query) is None


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_rate_limit_is_answered_with_429(retry_after: bool) -> None:
    """Both versions share the limit of a path, and Retry-After is a setting."""
    with (
        LangSmithStandIn(rate_limits={"/runs/query": (2, 60.0)}, retry_after=retry_after) as server,
        httpx.Client(base_url=server.url, headers={"X-API-Key": server.api_key}) as client,
    ):
        project = server.add_project("shop")
        assert client.post("/runs/query", json={"session": [project]}).status_code == 200
        assert client.post("/api/v2/runs/query", json={"project_ids": [project]}).status_code == 200
        refused = client.post("/runs/query", json={"session": [project]})
        assert refused.status_code == 429
        assert ("Retry-After" in refused.headers) is retry_after
        assert client.get("/sessions").status_code == 200


def test_stop_closes_sockets_and_threads() -> None:
    """No socket and no thread is left, also of open connections; a second stop does nothing."""
    server = LangSmithStandIn().start()
    threads = threading.active_count()
    client = httpx.Client()
    client.get(f"{server.url}/info")
    url = server.url
    server.stop()
    server.stop()
    assert threading.active_count() == threads - 1
    with pytest.raises(httpx.TransportError):
        client.get(f"{url}/info")
    client.close()
    with pytest.raises(RuntimeError, match="start it"):
        _ = server.url


def test_a_second_start_has_the_same_data_and_address() -> None:
    """A test can stop the server and start it again."""
    server = LangSmithStandIn()
    run_id = server.add_run()
    with server:
        url = server.url
    with server:
        assert server.url == url
        answer = httpx.get(f"{url}/runs/{run_id}", headers={"X-API-Key": server.api_key})
        assert answer.json()["name"] == "run"


def test_connection_is_that_of_airflow(langsmith: LangSmithStandIn) -> None:
    """The JSON has host, key and extra in the fields of Airflow."""
    connection = json.loads(langsmith.connection(api_version="v2"))
    assert connection == {
        "conn_type": "langsmith",
        "host": langsmith.url,
        "password": langsmith.api_key,
        "extra": {"api_version": "v2"},
    }
    assert langsmith.api_key not in repr(langsmith)


@pytest.mark.parametrize("path", ["/", "/sessions", "/public/download?jwt=x", "/storage/x/inputs", "/apis"])
def test_other_paths_of_a_self_hosted_server_are_the_ui(path: str) -> None:
    """Each path that is not below ``/api`` answers 200 with HTML, with a key or without."""
    with LangSmithStandIn(self_hosted=True) as server, httpx.Client() as client:
        page = client.get(server.url.removesuffix("/api") + path)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")
        assert "<html>" in page.text
        key = {"X-API-Key": server.api_key}
        for prefix in ("", "/v1"):
            assert client.get(f"{server.url}{prefix}/sessions", headers=key).json() == []
        assert client.get(f"{server.url}/nowhere", headers=key).status_code == 404
