"""What an attacker of the promises tried, each once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.errors import DestinationConflictError, LangSmithError
from airflow_langsmith.export.export import Exported
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.testing import LangSmithStandIn
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])

ClientOf = Callable[..., LangSmithClient]
Export = Callable[..., Exported]


@BOTH
def test_an_empty_list_of_runs_is_not_all_runs(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: Export
) -> None:
    """A list of ids that happens to be empty asks for no runs, never for all."""
    langsmith.add_run(project="shop", start_time=START)
    exported = export_runs(client_of(langsmith, version), "shop", START, START + DAY, query={"run_ids": ()})
    assert exported.manifest.rows == 0
    assert not langsmith.requests_to("/runs/query")


def test_another_query_does_not_replace(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: Export) -> None:
    """Two queries, or two workspaces with a project of one name, do not overwrite each other's partition."""
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith)
    export_runs(client, "shop", START, START + DAY)
    for query in ({"run_type": "tool"}, {"filter": 'eq(name, "x")'}, {"is_root": True}):
        with pytest.raises(DestinationConflictError, match=says("use another destination")):
            export_runs(client, "shop", START, START + DAY, query=query)
    with LangSmithStandIn(seed=7) as elsewhere:
        elsewhere.add_run(project="shop", start_time=START)
        with pytest.raises(DestinationConflictError, match=langsmith.project_id("shop")):
            export_runs(client_of(elsewhere), "shop", START, START + DAY)
    assert export_runs(client, "shop", START, START + DAY, columns=["run_id"]).manifest.rows == 1


@BOTH
def test_cursors_lost_among_runs_of_one_moment(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: Export
) -> None:
    """Runs of one microsecond over several pages are all there, though no page has a cursor."""
    for number in range(300):
        langsmith.add_run(project="shop", start_time=START, name=str(number))
    langsmith.misbehave("lose_cursor", times=None)
    exported = export_runs(client_of(langsmith, version), "shop", START, START + DAY, query={"page_size": 100})
    assert exported.manifest.rows == 300


def test_a_run_twice_on_one_page_lands_once(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: Export
) -> None:
    """A run that a server repeats within a page is one row."""
    langsmith.add_project("shop")
    run = {"id": "7086a3bf-30bc-4437-8537-6f1a73b90ac7", "start_time": "2026-03-01T10:00:00Z"}
    langsmith.misbehave("status", status=200, body={"items": [run, run], "next_cursor": None})
    assert export_runs(client_of(langsmith, "v2"), "shop", START, START + DAY).manifest.rows == 1


@BOTH
def test_pending_is_counted_whatever_the_columns(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, export_runs: Export
) -> None:
    """How many runs had not ended does not depend on which columns are wanted."""
    langsmith.add_run(project="shop", start_time=START)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    exported = export_runs(client_of(langsmith, version), "shop", START, START + DAY, columns=["run_id"])
    assert (exported.manifest.rows, exported.manifest.pending) == (2, 1)


def test_half_an_emoji_changes_no_other_row(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: Export, tmp_path: Any
) -> None:
    """The same rows are the same bytes, however pages fall around a run that has to be mended."""
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


def test_payloads_elsewhere_that_nobody_asked_for(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: Export
) -> None:
    """A payload in blob storage is fetched only by the exports that want it."""
    run = langsmith.add_run(project="shop", start_time=START, events=[{"name": "x"}], inputs={"q": 1})
    langsmith.offload(run, "events")
    client = client_of(langsmith, "v1")
    assert export_runs(client, "shop", START, START + DAY).manifest.rows == 1
    assert not langsmith.requests_to(f"/storage/{run}/events")
    export_runs(client, "shop", START, START + DAY, columns=["run_id", "events"])
    assert len(langsmith.requests_to(f"/storage/{run}/events")) == 1


@pytest.mark.parametrize("info", [{"version": None}, {"version": "0.16.0", "instance_flags": None}, ["odd"], {}])
def test_an_info_that_says_nothing(
    langsmith: LangSmithStandIn, info: Any, client_of: ClientOf, export_runs: Export
) -> None:
    """A server whose info says nothing useful is read all the same."""
    langsmith.add_run(project="shop", start_time=START)
    langsmith.misbehave("status", status=200, path="/info", body=info, times=None)
    assert export_runs(client_of(langsmith), "shop", START, START + DAY).manifest.rows == 1


def test_a_key_that_is_echoed_is_not_repeated(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that puts the key into its error does not bring it into ours."""
    langsmith.misbehave("status", status=401, path="/sessions", body={"detail": f"bad {langsmith.api_key}"}, times=None)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())
    worked, message = LangSmithHook().test_connection()
    assert not worked
    assert "bad ***" in message
    assert langsmith.api_key not in message


@pytest.mark.parametrize(
    "host", ["https://ä..example.com", "http://a\x7fb.example.com", f"http://{'a' * 70}.example.com"]
)
def test_hosts_that_cannot_be_asked(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no request can be sent to is the connection's fault, and said to be."""
    connection = {"conn_type": "langsmith", "host": host, "password": "k", "extra": {"max_retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection))
    with pytest.raises(LangSmithError, match="host"):
        LangSmithHook().project_id("shop")
