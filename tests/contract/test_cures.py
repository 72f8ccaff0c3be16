"""Common mistakes of users: each message names its cure, after few requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from airflow_langsmith.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidQueryError,
    LangSmithError,
    MissingPayloadError,
    PayloadError,
    ProxyError,
    TransportError,
    UnsupportedError,
)
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf, RunExport
from tests.wording import says, words

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def refused(error: type[LangSmithError], cure: str, ask: Callable[[], Any]) -> LangSmithError:
    """Check that a call raises this error, with this message."""
    with pytest.raises(error, match=says(cure)) as caught:
        ask()
    assert caught.value.retriable is error.retriable
    return caught.value


@BOTH
def test_an_unknown_project(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A missing project is an error, although the API only answers with an empty list."""
    langsmith.add_run(project="Shop", start_time=START)
    client = client_of(langsmith, version)
    error = refused(ConfigurationError, "matched exactly", lambda: export_runs(client, "shop", START, START + DAY))
    assert "'shop'" in str(error)
    assert not langsmith.requests_to("/runs/query")


@BOTH
def test_a_wrong_key(langsmith: LangSmithStandIn, version: str, client_of: ClientOf) -> None:
    """A wrong key fails at once, and the message says so."""
    client = client_of(langsmith, version, api_key="lsv2_wrong")
    error = refused(AuthenticationError, "the API key in its password", lambda: client.project("shop"))
    assert "lsv2_wrong" not in str(error)
    assert len(langsmith.requests) == 1


def test_a_missing_workspace(client_of: ClientOf) -> None:
    """A key for several workspaces needs ``workspace_id``, and the message says so."""
    with LangSmithStandIn(require_workspace=True) as langsmith:
        langsmith.add_run(project="shop")
        refused(AuthenticationError, "'workspace_id' in its extra", lambda: client_of(langsmith).project("shop"))
        assert client_of(langsmith, workspace_id=langsmith.workspace_id).project("shop").name == "shop"


@BOTH
@pytest.mark.parametrize(
    "query",
    [
        {"filter": "eq(nonsense, 'x')"},
        {"filter": 'search(name, "x")'},
        {"filter": "neq(parent_run_id)"},
        {"trace_filter": "gt(latency, '2m')"},
        {"tree_filter": "equals(name, 'x')"},
    ],
)
def test_a_bad_filter(
    langsmith: LangSmithStandIn, version: str, query: dict[str, str], client_of: ClientOf, export_runs: RunExport
) -> None:
    """A filter that LangSmith refuses costs one request, and the error has LangSmith's message."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith, version)
    error = refused(
        InvalidQueryError, "Correct the query", lambda: export_runs(client, "shop", START, START + DAY, query=query)
    )
    assert len(langsmith.requests_to("/runs/query")) == 1
    assert "project 'shop', window [2026-03-01" in words(error)


@BOTH
def test_a_filter_that_is_none(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A filter that is no expression fails without a request, with a mark at the position."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith, version)
    error = refused(
        ConfigurationError,
        "tree_filter is no expression",
        lambda: export_runs(client, "shop", START, START + DAY, query={"tree_filter": 'and(eq(name, "x")'}),
    )
    assert '\n  and(eq(name, "x")\n                   ^\n' in str(error)
    assert not langsmith.requests_to("/runs/query")


def test_a_filter_that_only_v2_takes(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport) -> None:
    """An attribute that v1 does not support is refused by name, without a query."""
    langsmith.add_run(project="shop", start_time=START)
    query = {"filter": "gt(total_tokens, 5)"}
    v1, v2 = (client_of(langsmith, version) for version in ("v1", "v2"))
    refused(
        ConfigurationError,
        "API v1 cannot filter by total_tokens",
        lambda: export_runs(v1, "shop", START, START + DAY, query=query),
    )
    assert not langsmith.requests_to("/runs/query")
    assert export_runs(v2, "shop", START, START + DAY, query=query).manifest.rows == 0
    error = refused(
        InvalidQueryError,
        "400",
        lambda: export_runs(v2, "shop", START, START + DAY, query={"filter": "neq(error, null)"}, partition="other"),
    )
    assert "error" in str(error)


def test_v1_on_a_server_without_it(client_of: ClientOf, export_runs: RunExport) -> None:
    """``v1`` on a server without it fails with the reason; ``auto`` works, also after a wrong guess."""
    with LangSmithStandIn(backend="smithdb") as langsmith:
        langsmith.add_run(project="shop", start_time=START)
        insisting = client_of(langsmith, "v1")
        refused(UnsupportedError, "set api_version", lambda: export_runs(insisting, "shop", START, START + DAY))
        assert export_runs(client_of(langsmith), "shop", START, START + DAY).manifest.api_version == "v2"


@pytest.mark.parametrize(
    ("server", "spoken"),
    [
        ({"backend": "clickhouse"}, "v1"),
        ({"backend": "smithdb"}, "v2"),
        ({"backend": "dual"}, "v2"),
        ({"backend": "clickhouse", "version": "0.10.4"}, "v1"),
        ({"backend": "dual", "version": "0.18.0"}, "v2"),
        ({"backend": "clickhouse", "version": "0.18.0"}, "v2"),
    ],
)
def test_auto_finds_the_version_a_server_speaks(
    server: dict[str, Any], spoken: str, client_of: ClientOf, export_runs: RunExport
) -> None:
    """``auto`` reads each kind of server in a version that it supports, and loses no run."""
    with LangSmithStandIn(**server) as langsmith:
        langsmith.add_run(project="shop", start_time=START)
        client = client_of(langsmith)
        for _ in range(2):
            exported = export_runs(client, "shop", START, START + DAY)
            assert (exported.manifest.api_version, exported.manifest.rows) == (spoken, 1)
        assert len(langsmith.requests_to("/info")) == 1
        failed = [request for request in langsmith.requests_to("/runs/query") if request.status != 200]
        assert len(failed) <= 1


def test_a_server_that_hides_its_info(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport) -> None:
    """A server that refuses its info endpoint is read."""
    langsmith.add_run(project="shop", start_time=START)
    langsmith.misbehave("status", path="/info", status=404, times=None)
    assert export_runs(client_of(langsmith), "shop", START, START + DAY).manifest.rows == 1


def test_a_server_whose_info_fails(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport) -> None:
    """A failing info fails the export: a guess would change the API version, and what parents count, for one night."""
    langsmith.add_run(project="shop", start_time=START)
    langsmith.misbehave("status", path="/info", times=1)
    with pytest.raises(LangSmithError, match="which version is this server"):
        export_runs(client_of(langsmith, max_retries=0), "shop", START, START + DAY)


def test_a_proxy_that_refuses(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A firewall's 403 page is not reported as a wrong key."""
    langsmith.misbehave("html", status=403, path="/sessions", times=None)
    client = client_of(langsmith, max_retries=0)
    refused(ProxyError, "proxy or firewall", lambda: client.project("shop"))


def test_a_host_that_is_another_server(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A web page with status 200 is not read as data."""
    langsmith.misbehave("html", status=200, path="/sessions", times=None)
    client = client_of(langsmith, max_retries=0)
    refused(TransportError, "may not be LangSmith's API", lambda: client.project("shop"))
    langsmith.behave()
    langsmith.misbehave("status", status=200, body={"projects": []}, path="/sessions", times=None)
    refused(PayloadError, "not of the shape", lambda: client.project("shop"))


def test_nobody_answers(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """If the server does not answer, the error says to check the connection's host."""
    client = client_of(langsmith, max_retries=0)
    langsmith.stop()
    refused(TransportError, "check the connection's host", lambda: client.project("shop"))


def test_an_answer_that_takes_too_long(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A slow answer ends after the connection's timeout."""
    langsmith.misbehave("delay", seconds=5, path="/sessions", times=None)
    client = client_of(langsmith, max_retries=0, timeout=0.2)
    refused(TransportError, "timed out", lambda: client.project("shop"))


def test_payloads_in_blob_storage_that_cannot_be_had(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A payload missing in blob storage is never written as null, and the error names the alternatives."""
    run_id = langsmith.add_run(project="shop", start_time=START, inputs={"q": 1}, outputs={"a": 2})
    langsmith.offload(run_id, "inputs", "outputs")
    langsmith.misbehave("status", status=403, path=f"/storage/{run_id}/inputs", times=None)
    v1 = client_of(langsmith, "v1")
    error = refused(
        MissingPayloadError,
        "a retry may help, because links expire",
        lambda: export_runs(v1, "shop", START, START + DAY),
    )
    assert f"inputs of run {run_id}" in words(error)
    assert "signed" not in str(error)
    assert export_runs(v1, "shop", START, START + DAY, columns=["run_id", "name"]).manifest.rows == 1


def test_what_is_refused_before_any_request(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """Invalid names and bounds are refused before any request."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith, "v1")
    project = client.project("shop")
    del langsmith.requests[:]
    assert project.name == "shop"
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("no run type 'agent'", {"query": {"run_type": "agent"}}),
        ("no column 'cost'", {"columns": ["cost"]}),
        ("each once", {"columns": ["run_id", "run_id"]}),
        ("no format 'avro'", {"format": "avro"}),
        ("no compression 'lz4'", {"compression": "lz4"}),
        ("on_empty", {"on_empty": "ignore"}),
        ("max_rows_per_file", {"max_rows_per_file": 0}),
        ("max_bytes_per_file is 256 bytes; it is 1048576", {"max_bytes_per_file": 256}),
        ("page of API v1 holds 1 to 100", {"query": {"page_size": 101}}),
        ("no path below the destination", {"partition": "../{start:%Y}"}),
        ("format string over start", {"partition": "{day}"}),
    ]
    for cure, arguments in wrong:
        refused(ConfigurationError, cure, partial(export_runs, client, "shop", START, START + DAY, **arguments))
    refused(ConfigurationError, "is empty", lambda: export_runs(client, "shop", START, START))
    naive = START.replace(tzinfo=None)
    refused(ConfigurationError, "no time zone", lambda: export_runs(client, "shop", naive, START + DAY))
    assert not langsmith.requests
