"""Payloads that v1 keeps in blob storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.api import AsyncLangSmithClient, LangSmithClient, Run, RunQuery, Settings
from airflow_langsmith.api.errors import MissingPayloadError, TransportError
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)
PAYLOADS = ("inputs", "outputs", "extra", "events", "error", "serialized")

ClientOf = Callable[..., LangSmithClient]


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


def query(client: LangSmithClient | None = None, project: Any = None) -> RunQuery:
    """Ask for all of the project."""
    found = client.project("shop") if client else project
    return RunQuery(project=found, start=START, end=START + timedelta(days=1))


def plain(run: Run) -> dict[str, Any]:
    """Write a record as values that compare."""
    values = {name: getattr(run, name) for name in FIELDS}
    return {name: bytes(value) if type(value).__name__ == "Raw" else value for name, value in values.items()}


def test_they_are_as_if_they_had_been_sent(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """Runs whose payloads lie elsewhere are the same records as over v2, which sends them whole."""
    v1, v2 = (client_of(langsmith, version) for version in ("v1", "v2"))
    found = [plain(run) for run in v1.runs(query(v1))]
    assert found == [plain(run) for run in v2.runs(query(v2))]
    assert {run["thread_id"] for run in found} == {f"t{number}" for number in range(30)}
    fetched = [request for request in langsmith.requests if request.path.startswith("/storage/")]
    assert len(fetched) == 10 * len(PAYLOADS)
    one = v1.run(str(found[0]["id"]))
    assert plain(one) == found[0]


def test_both_clients_fetch_them(langsmith: LangSmithStandIn) -> None:
    """The awaiting client fetches them, too."""

    async def read() -> list[dict[str, Any]]:
        settings = Settings(api_url=langsmith.url, api_key=langsmith.api_key, api_version="v1")
        async with AsyncLangSmithClient(settings) as client:
            asked = query(project=await client.project("shop"))
            return [plain(run) async for run in client.runs(asked)]

    assert all(run["inputs"] for run in asyncio.run(read()))


def test_trouble_with_storage_is_waited_out(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A storage that fails for a moment costs a retry of what failed and nothing else."""
    client = client_of(langsmith, "v1")
    langsmith.misbehave("status", path="/outputs", times=2)
    langsmith.misbehave("reset", path="/inputs")
    assert all(run.outputs and run.inputs for run in client.runs(query(client)))
    assert not langsmith.unspent_faults
    assert len([request for request in langsmith.requests if request.path.startswith("/storage/")]) == 63
    langsmith.misbehave("status", path="/inputs", times=None)
    with pytest.raises(TransportError, match="Blob storage answered 503"):
        list(client_of(langsmith, "v1", max_retries=0).runs(query(client)))


def test_a_link_that_expired(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """A link that leads nowhere any more fails at once; a later try has new links."""
    client = client_of(langsmith, "v1")
    langsmith.misbehave("status", status=403, path="/inputs")
    with pytest.raises(MissingPayloadError, match="inputs of run") as caught:
        list(client.runs(query(client)))
    assert caught.value.retriable
    assert len(list(client.runs(query(client)))) == 30


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
        asked = query(client)
        langsmith.misbehave("status", status=200, body=page)
        (found,) = client.runs(asked)
        assert found.inputs is not None
        assert bytes(found.inputs) == b'{"q":1}'
        (request,) = storage.requests
        assert "x-api-key" not in request.headers
