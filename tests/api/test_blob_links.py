"""A link to blob storage always makes a payload that is fetched, fails the query or is marked, whatever its form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import FIELDS, RunQuery
from airflow_langsmith.errors import MissingPayloadError
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import run_query
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])
PAYLOADS = ("inputs", "outputs", "error", "events", "extra", "serialized")
WHOLE: dict[str, Any] = {
    "inputs": {"q": "whole"},
    "outputs": {"a": ["whole"]},
    "error": "the whole error",
    "events": [{"name": "whole"}],
    "extra": {"metadata": {"thread_id": "whole"}},
    "serialized": {"id": "whole"},
}
STUBS: list[Any] = [None, {}, [], "", {"metadata": {"thread_id": "stub"}}, {"preview": "who..."}]
ERROR_STUBS: list[Any] = [None, "", "the who..."]

# Links, by whether they lead to the payload; "URL" stands for where it is.
USABLE: list[Any] = [
    {"presigned_url": "URL"},
    {"presigned_url": "URL", "s3_url": "bucket/key", "mime_type": None},
    {"presigned_url": " URL\n"},
    "URL",
]
UNUSABLE: list[Any] = [
    None,
    {},
    [],
    "",
    7,
    True,
    ["URL"],
    {"url": "URL"},
    {"ROOT": {"presigned_url": "URL"}},
    {"s3_url": "bucket/key"},
    {"presigned_url": None},
    {"presigned_url": ""},
    {"presigned_url": 7},
    {"presigned_url": ["URL"]},
    {"presigned_url": {"url": "URL"}},
    {"presigned_url": "s3://bucket/key"},
    {"presigned_url": "https://host:port/x"},
    {"presigned_url": "/storage/nowhere/x?signed=secret"},
    "s3://bucket/key",
]

Case = tuple[dict[str, Any], bool]  # fields of a run, and whether its payload can be had


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> dict[str, str]:
    """Links to each payload of a run in the stand-in's storage."""
    langsmith.add_project("shop")
    run = langsmith.add_run(project="another", start_time=START, **WHOLE)
    langsmith.offload(run, *PAYLOADS)
    return {name: f"/storage/{run}/{name}?signed=secret" for name in PAYLOADS}


def cases(name: str) -> Iterator[Case]:
    """Combine all links to a payload with all that may be beside them."""
    beside: list[dict[str, Any]] = [{name: stub} for stub in (ERROR_STUBS if name == "error" else STUBS)]
    beside += [{}, {name: WHOLE[name]}]
    for (link, usable), stub in product(
        [*((address, True) for address in USABLE), *((address, False) for address in UNUSABLE)], beside
    ):
        for links in places(name, link):
            yield {**stub, **links}, usable
    for stub in beside:
        for container in ("URL", 7, True, ["URL"], [None]):
            yield {**stub, place(name): container}, False
        part = {"x": {"presigned_url": "URL"}} if place(name) != "s3_urls" else {f"{name}.x": {"presigned_url": "URL"}}
        yield {**stub, place(name): part}, False


def place(name: str) -> str:
    """Name the field of a run that has the links to a payload."""
    return f"{name}_s3_urls" if name in ("inputs", "outputs") else "s3_urls"


def places(name: str, link: Any) -> list[dict[str, Any]]:
    """Put a link where LangSmith puts it, alone and beside others."""
    other = {"presigned_url": "/storage/nowhere/other?signed=secret"}
    if place(name) == "s3_urls":
        return [{"s3_urls": {name: link}}, {"s3_urls": {f"{name}.x": other, name: link, "no_payload": other}}]
    return [{place(name): {"ROOT": link}}, {place(name): {"x": other, "ROOT": link}}, {"s3_urls": {name: link}}]


def query(client: LangSmithClient, **more: Any) -> RunQuery:
    """Ask for all of the project, by default for all but attachments."""
    arguments: dict[str, Any] = {"fields": tuple(name for name in FIELDS if name != "attachments"), **more}
    return run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1), **arguments)


def serve(langsmith: LangSmithStandIn, version: str, runs: list[dict[str, Any]], url: str) -> None:
    """Have the stand-in send runs, whatever they look like, as the next page."""
    page = []
    for number, run in enumerate(runs):
        start = (START + timedelta(seconds=len(runs) - number)).isoformat()
        written = {"id": f"run {number}", "start_time": start.replace("+00:00", "Z"), **run}
        if version == "v2" and "serialized" in written:
            written["manifest"] = written.pop("serialized")
        page.append(written)
    body = json.dumps({"runs": page, "items": page}).replace("URL", url).encode()
    langsmith.misbehave("status", status=200, body=body)


def value(run: Any, name: str) -> Any:
    """Read a payload of a run."""
    payload = getattr(run, name)
    return payload if payload is None or name == "error" else json.loads(bytes(payload))


@BOTH
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_link_of_any_form_is_fetched_or_marked(
    langsmith: LangSmithStandIn, client_of: ClientOf, shop: dict[str, str], version: str, name: str
) -> None:
    """Whatever a link looks like, and whatever is beside it, the whole payload lands, or a null that is marked."""
    client, table = client_of(langsmith, version, max_retries=0), list(cases(name))
    serve(langsmith, version, [fields for fields, _ in table], shop[name])
    runs = list(client.runs(query(client, payloads="flag")))
    assert len(runs) == len(table) > 250
    for run, (fields, usable) in zip(runs, table, strict=True):
        result = value(run, name), name in run.missing_payloads
        assert result == ((WHOLE[name], False) if usable else (None, True)), fields
        if name == "extra" and version == "v1":
            assert run.thread_id == ("whole" if usable else None), fields
        assert "signed" not in repr(run)


@BOTH
@pytest.mark.parametrize("name", PAYLOADS)
def test_an_unusable_link_fails_by_default(
    langsmith: LangSmithStandIn, client_of: ClientOf, shop: dict[str, str], version: str, name: str
) -> None:
    """Without ``payloads="flag"`` a link that leads nowhere fails the query, also beside what may be a stub."""
    client = client_of(langsmith, version, max_retries=0)
    for link in UNUSABLE:
        serve(langsmith, version, [{name: WHOLE[name], **places(name, link)[0]}], shop[name])
        with pytest.raises(MissingPayloadError, match=says(f"the {name} of run run 0")) as caught:
            list(client.runs(query(client)))
        assert caught.value.retriable
        assert "signed" not in str(caught.value)


@BOTH
@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("nothing", [None, {}, [], ""])
def test_what_says_nothing_is_no_link(
    langsmith: LangSmithStandIn, client_of: ClientOf, shop: dict[str, str], version: str, name: str, nothing: Any
) -> None:
    """Where no link is, what was sent is the payload, and a null is a null."""
    client = client_of(langsmith, version)
    none = {"inputs_s3_urls": nothing, "outputs_s3_urls": nothing, "s3_urls": nothing}
    serve(langsmith, version, [{name: WHOLE[name], **none}, {name: None, **none}, none], shop[name])
    runs = list(client.runs(query(client)))
    assert [value(run, name) for run in runs] == [WHOLE[name], None, None]
    assert not [request for request in langsmith.requests if "/storage/" in request.path]


def test_links_of_what_is_not_wanted_are_passed_over(
    langsmith: LangSmithStandIn, client_of: ClientOf, shop: dict[str, str]
) -> None:
    """A link to a payload that nobody asked for, or to what is no payload, costs and marks nothing."""
    client = client_of(langsmith, "v1")
    dead = {"s3_urls": {"events": None, "no_payload": None}, "outputs_s3_urls": 7}
    serve(langsmith, "v1", [{"inputs": {"q": 1}, **dead}], "")
    (run,) = client.runs(query(client, fields=("id", "inputs")))
    assert (value(run, "inputs"), run.missing_payloads) == ({"q": 1}, [])


@BOTH
@pytest.mark.parametrize("container", ["URL", 7, ["URL"]])
def test_attachments_that_are_no_list_of_names_are_marked(
    langsmith: LangSmithStandIn, client_of: ClientOf, shop: dict[str, str], version: str, container: Any
) -> None:
    """Where nothing tells which files a run has, that is marked, and no null that looks like none."""
    client = client_of(langsmith, version)
    field = "s3_urls" if version == "v1" else "attachments"
    serve(langsmith, version, [{field: container}], shop["inputs"])
    (run,) = client.runs(query(client, fields=("id", "attachments"), payloads="flag"))
    assert (run.attachments, run.missing_payloads) == (None, ["attachments"])
    serve(langsmith, version, [{field: container}], shop["inputs"])
    with pytest.raises(MissingPayloadError, match=says("no link to the attachments of run run 0")):
        list(client.runs(query(client, fields=("id", "attachments"))))
