"""Attacks on the promises that once had success."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.errors import DestinationConflictError, LangSmithError
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf, RunExport
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


@BOTH
def test_an_empty_list_of_runs_selects_no_runs(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: RunExport
) -> None:
    """An empty list of ids exports no runs, and sends no query."""
    langsmith.add_run(project="shop", start_time=START)
    exported = export_runs(client_of(langsmith, version), "shop", START, START + DAY, query={"run_ids": ()})
    assert exported.manifest.rows == 0
    assert not langsmith.requests_to("/runs/query")


def test_another_query_does_not_replace(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """Another query, or a project of the same name in another workspace, cannot replace a partition."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith)
    export_runs(client, "shop", START, START + DAY)
    for query in ({"run_type": "tool"}, {"filter": 'eq(name, "x")'}, {"is_root": True}):
        with pytest.raises(DestinationConflictError, match=says("use another destination")):
            export_runs(client, "shop", START, START + DAY, query=query)
    with LangSmithStandIn(seed=7) as other:
        other.add_run(project="shop", start_time=START)
        with pytest.raises(DestinationConflictError, match=langsmith.project_id("shop")):
            export_runs(client_of(other), "shop", START, START + DAY)
    assert export_runs(client, "shop", START, START + DAY, columns=["run_id"]).manifest.rows == 1


@BOTH
def test_runs_of_one_microsecond_without_cursors(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: RunExport
) -> None:
    """Runs of one microsecond on several pages are all exported, although no page has a cursor."""
    for number in range(300):
        langsmith.add_run(project="shop", start_time=START, name=str(number))
    langsmith.misbehave("lose_cursor", times=None)
    exported = export_runs(client_of(langsmith, version), "shop", START, START + DAY, query={"page_size": 100})
    assert exported.manifest.rows == 300


def test_a_run_twice_on_a_page_is_one_row(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A run that a server repeats on a page is one row."""
    langsmith.add_project("shop")
    run = {"id": "7086a3bf-30bc-4437-8537-6f1a73b90ac7", "start_time": "2026-03-01T10:00:00Z"}
    langsmith.misbehave("status", status=200, body={"items": [run, run], "next_cursor": None})
    assert export_runs(client_of(langsmith, "v2"), "shop", START, START + DAY).manifest.rows == 1


@BOTH
def test_pending_runs_are_counted_without_their_columns(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: RunExport
) -> None:
    """The number of pending runs does not depend on the exported columns."""
    langsmith.add_run(project="shop", start_time=START)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    exported = export_runs(client_of(langsmith, version), "shop", START, START + DAY, columns=["run_id"])
    assert (exported.manifest.rows, exported.manifest.pending) == (2, 1)


def test_half_an_emoji_changes_no_other_row(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport, tmp_path: Any
) -> None:
    """The same rows are the same bytes, on any page with a run whose text must be repaired."""
    for number in range(200):
        langsmith.add_run(
            project="shop",
            start_time=START + number * SECOND,
            inputs={"a": 1.5},
            error="x\ud83d" if number == 199 else None,
        )
    client = client_of(langsmith, "v1")
    names = []
    for size in (100, 37):
        exported = export_runs(
            client, "shop", START, START + DAY, query={"page_size": size}, format="jsonl", partition=f"{size}"
        )
        names.append([file.name for file in exported.manifest.files])
    assert names[0] == names[1]


def test_unused_payloads_are_not_fetched(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """Only an export with its column fetches a payload from blob storage."""
    run = langsmith.add_run(project="shop", start_time=START, events=[{"name": "x"}], inputs={"q": 1})
    langsmith.offload(run, "events")
    client = client_of(langsmith, "v1")
    assert export_runs(client, "shop", START, START + DAY).manifest.rows == 1
    assert not langsmith.requests_to(f"/storage/{run}/events")
    export_runs(client, "shop", START, START + DAY, columns=["run_id", "events"])
    assert len(langsmith.requests_to(f"/storage/{run}/events")) == 1


@pytest.mark.parametrize("info", [{"version": None}, {"version": "0.16.0", "instance_flags": None}, ["odd"], {}])
def test_an_info_without_a_version(
    langsmith: LangSmithStandIn, info: Any, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A server is read also if its info has no version or flags."""
    langsmith.add_run(project="shop", start_time=START)
    langsmith.misbehave("status", status=200, path="/info", body=info, times=None)
    assert export_runs(client_of(langsmith), "shop", START, START + DAY).manifest.rows == 1


def test_an_echo_of_the_key_is_masked(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the error of a server is masked in ours."""
    langsmith.misbehave("status", status=401, path="/sessions", body={"detail": f"bad {langsmith.api_key}"}, times=None)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())
    is_connected, message = LangSmithHook().test_connection()
    assert not is_connected
    assert "bad ***" in message
    assert langsmith.api_key not in message


@pytest.mark.parametrize(
    "host", ["https://ä..example.com", "http://a\x7fb.example.com", f"http://{'a' * 70}.example.com"]
)
def test_an_impossible_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a host to which no request can be sent names the host."""
    connection = {"conn_type": "langsmith", "host": host, "password": "k", "extra": {"max_retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection))
    with pytest.raises(LangSmithError, match="host"):
        LangSmithHook().project_id("shop")
