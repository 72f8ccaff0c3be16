"""Payloads that v1 keeps in blob storage."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.api.client import AsyncLangSmithClient, LangSmithClient
from airflow_langsmith.api.payloads import MAX_PAYLOAD_BYTES
from airflow_langsmith.api.query import FIELDS, RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import (
    LangSmithError,
    LargePayloadError,
    MissingPayloadError,
    PayloadError,
    TransportError,
)
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import run_query
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
PAYLOADS = ("inputs", "outputs", "extra", "events", "error", "serialized")


@pytest.fixture
def langsmith() -> Any:
    """A project whose runs have everything, in blob storage for every third of them."""
    with LangSmithStandIn() as server:
        for number in range(30):
            run = server.add_run(
                project="shop",
                start_time=START + timedelta(seconds=number),
                inputs={"q": f"é {number}"},
                outputs={"a": [number]},
                error=f"failed {number}",
                events=[{"name": "new_token", "time": "2026-03-01T00:00:00Z"}],
                serialized={"id": number},
                extra={"metadata": {"thread_id": f"t{number}", "ls_model_name": "m"}},
            )
            if number % 3 == 0:
                server.offload(run, *PAYLOADS)
        yield server


def query(client: LangSmithClient | None = None, project: Any = None, **more: Any) -> RunQuery:
    """Ask for all of the project."""
    result = client.project("shop") if client else project
    return run_query(project=result, start=START, end=START + timedelta(days=1), **more)


def plain(run: Run) -> dict[str, Any]:
    """Write a record as values that compare."""
    values = {name: getattr(run, name) for name in FIELDS}
    return {name: bytes(value) if type(value).__name__ == "Raw" else value for name, value in values.items()}


def test_they_are_as_if_they_had_been_sent(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """Runs whose payloads lie elsewhere are the same records as over v2, which sends them whole."""
    v1, v2 = (client_of(langsmith, version) for version in ("v1", "v2"))
    result = [plain(run) for run in v1.runs(query(v1))]
    assert result == [plain(run) for run in v2.runs(query(v2))]
    assert {run["thread_id"] for run in result} == {f"t{number}" for number in range(30)}
    fetched = [request for request in langsmith.requests if "/storage/" in request.path]
    assert len(fetched) == 10 * len(PAYLOADS)
    single = v1.run(str(result[0]["id"]))
    assert plain(single) == result[0]


def test_both_clients_fetch_them(langsmith: LangSmithStandIn) -> None:
    """The awaiting client fetches them, too."""

    async def read() -> list[dict[str, Any]]:
        settings = Settings(api_url=langsmith.url, api_key=langsmith.api_key, api_version="v1")
        async with AsyncLangSmithClient(settings) as client:
            day = query(project=await client.project("shop"))
            return [plain(run) async for run in client.runs(day)]

    assert all(run["inputs"] for run in asyncio.run(read()))


def test_trouble_with_storage_is_waited_out(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A storage that fails for a moment costs a retry of what failed and nothing else."""
    client = client_of(langsmith, "v1")
    langsmith.misbehave("status", path="/outputs", times=2)
    langsmith.misbehave("reset", path="/inputs")
    assert all(run.outputs and run.inputs for run in client.runs(query(client)))
    assert not langsmith.unspent_faults
    assert len([request for request in langsmith.requests if "/storage/" in request.path]) == 63
    langsmith.misbehave("status", path="/inputs", times=None)
    with pytest.raises(TransportError, match=says("Blob storage answered 503")):
        list(client_of(langsmith, "v1", max_retries=0).runs(query(client)))


def test_a_link_that_expired(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A link that leads nowhere any more fails at once; a later try has new links."""
    client = client_of(langsmith, "v1")
    langsmith.misbehave("status", status=403, path="/inputs")
    with pytest.raises(MissingPayloadError, match=says("inputs of run")) as caught:
        list(client.runs(query(client)))
    assert caught.value.retriable
    assert len(list(client.runs(query(client)))) == 30


# What storage does, and which error that is where it fails the query.
TROUBLE: dict[str, tuple[dict[str, Any], type[LangSmithError]]] = {
    "gone": ({"kind": "status", "status": 404}, MissingPayloadError),
    "forbidden": ({"kind": "status", "status": 403}, MissingPayloadError),
    "down": ({"kind": "status", "status": 503}, TransportError),
    "reset": ({"kind": "reset"}, TransportError),
    "no JSON": ({"kind": "status", "status": 200, "body": "<html>"}, PayloadError),
    "too large": ({"kind": "status", "status": 200, "body": b'"' + b"x" * MAX_PAYLOAD_BYTES + b'"'}, LargePayloadError),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_cannot_be_had_fails_or_is_flagged(
    langsmith: LangSmithStandIn, client_of: ClientOf, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A payload that cannot be had fails the query; flagged, it is null and named, and all the rest is there."""
    caplog.set_level(logging.DEBUG)
    fault, error = TROUBLE[trouble]
    client = client_of(langsmith, "v1", max_retries=1)
    langsmith.misbehave(path="/outputs", times=None, **fault)
    with pytest.raises(error, match=says("of run ")) as caught:
        list(client.runs(query(client)))
    assert type(caught.value) is error
    runs = list(client.runs(query(client, payloads="flag")))
    assert [run.missing_payloads for run in runs].count(["outputs"]) == 10
    assert [run.missing_payloads for run in runs].count([]) == 20
    assert all((run.outputs is None) == bool(run.missing_payloads) for run in runs)
    assert all(run.inputs and run.metadata and run.error for run in runs)
    assert "10 payloads or attachments are missing and are flagged" in caplog.text
    assert "The first: " in caplog.text
    assert "signed" not in caplog.text + str(caught.value)


def test_one_payload_in_trouble_does_not_cost_the_others(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """Retries count anew once all came: trouble now and then flags nothing, however many payloads there are."""
    client = client_of(langsmith, "v1", max_retries=1)
    for _ in range(2):
        langsmith.misbehave("status", path="/inputs", after=3)
    assert not [run for run in client.runs(query(client, payloads="flag")) if run.missing_payloads]
    assert not langsmith.unspent_faults


def test_without_its_extra_a_run_has_no_metadata(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """What is made of a payload is missing with it, under the payload's name."""
    client = client_of(langsmith, "v1", max_retries=0)
    langsmith.misbehave("status", status=404, path="/extra", times=None)
    runs = list(client.runs(query(client, payloads="flag", fields=("metadata", "thread_id"))))
    assert [run.missing_payloads for run in runs if run.metadata is None] == [["extra"]] * 10


def test_a_run_read_by_its_id_is_never_flagged(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """One run is read whole, or not at all."""
    client = client_of(langsmith, "v1")
    first = next(run.id for run in client.runs(query(client, fields=("id",))) if run.start_time == START)
    langsmith.misbehave("status", status=404, path="/inputs")
    with pytest.raises(MissingPayloadError):
        client.run(first)


def test_the_key_goes_to_nobody_else(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A link to another host is asked without the key."""
    with LangSmithStandIn(api_key="another key") as storage:
        run = storage.add_run(project="x", start_time=START, inputs={"q": 1})
        storage.offload(run, "inputs")
        link = f"{storage.url}/storage/{run}/inputs?signed=secret"
        page = {
            "runs": [
                {
                    "id": run,
                    "start_time": "2026-03-01T00:00:00",
                    "inputs": None,
                    "inputs_s3_urls": {"ROOT": {"presigned_url": link}},
                }
            ]
        }
        client = client_of(langsmith, "v1")
        day = query(client)
        langsmith.misbehave("status", status=200, body=page)
        (result,) = client.runs(day)
        assert result.inputs is not None
        assert bytes(result.inputs) == b'{"q":1}'
        (request,) = storage.requests
        assert "x-api-key" not in request.headers
