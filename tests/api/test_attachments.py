"""Files logged with runs, as pages list them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.blob_links import list_attachments
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.media_types import extension
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.export.layout import ATTACHMENT, attachment_name
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import read_pages, run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def listed(client: LangSmithClient, **query: Any) -> Any:
    """List the attachments of the one run there is, as values."""
    day = run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1), **query)
    (page,) = read_pages(client, day)
    assert "signed" not in repr(page)
    return msgspec.to_builtins(page.runs[0].attachments)


@BOTH
def test_a_run_lists_its_attachments(langsmith: LangSmithStandIn, version: str, client_of: ClientOf) -> None:
    """Attachments come by name, with the type that the server says or else the name does, and without their links."""
    files = {"z.png": ("image/png", b"z"), "a.b.txt": ("text/plain", b"a"), "inputs": ("audio/x-wav", b"i")}
    run = langsmith.add_run(project="shop", start_time=START, attachments=files, inputs={"q": 1})
    langsmith.add_run(project="empty", start_time=START)
    client = client_of(langsmith, version)
    said = "audio/x-wav" if version == "v1" else None
    expected = [
        {"name": "a.b.txt", "type": "text/plain", "size": None},
        {"name": "inputs", "type": said, "size": None},
        {"name": "z.png", "type": "image/png", "size": None},
    ]
    assert listed(client) == listed(client, fields=("attachments",)) == expected
    single = client.run(run, client.project("shop"))
    assert msgspec.to_builtins(single.attachments) == expected
    assert "signed" not in repr(single)
    assert not [request for request in langsmith.requests if "/storage/" in request.path]


@BOTH
def test_a_run_without_attachments(langsmith: LangSmithStandIn, version: str, client_of: ClientOf) -> None:
    """A run with none has null, also where other payloads of it lie in blob storage."""
    run = langsmith.add_run(project="shop", start_time=START, events=[{"name": "x"}])
    langsmith.offload(run, "events")
    assert listed(client_of(langsmith, version)) is None


@BOTH
@pytest.mark.parametrize("link", [None, {}, {"presigned_url": None}, 7, []])
def test_an_attachment_without_a_link_is_listed(
    langsmith: LangSmithStandIn, version: str, client_of: ClientOf, link: Any
) -> None:
    """A link that is no link does not keep a run from being listed."""
    langsmith.add_project("shop")
    run: dict[str, Any] = {"id": "r", "start_time": "2026-03-01T00:00:00Z"}
    run |= {"s3_urls": {"attachment.x.pdf": link}} if version == "v1" else {"attachments": {"x.pdf": link}}
    langsmith.misbehave("status", status=200, body={"runs": [run], "items": [run]})
    assert listed(client_of(langsmith, version)) == [{"name": "x.pdf", "type": "application/pdf", "size": None}]


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.text())))
def test_whatever_they_are_called_they_have_names_of_ours(types: dict[str, str | None]) -> None:
    """Any name and any type can be listed, in the order of the names, and give the file a name that we know again."""
    run = Run(id="r", project=Project(id="p", name="shop"), start_time=START, tags=[])
    list_attachments(run, {name: {"presigned_url": "secret", "mime_type": type_} for name, type_ in types.items()}, "")
    files = run.attachments or []
    assert [file.name for file in files] == sorted(types)
    assert all(ATTACHMENT.fullmatch(attachment_name(64 * "a", extension(file.type))) for file in files)
    assert not re.search("secret", repr(run)) or "secret" in "".join(types)


@pytest.mark.parametrize(
    ("type_", "ending"), [("image/jpeg", "jpg"), ("IMAGE/PNG", "png"), ("", "bin"), ("no type at all", "bin")]
)
def test_types_have_endings(type_: str, ending: str) -> None:
    """A type that is known has the ending its files have everywhere, any other has none of its own."""
    assert extension(type_) == ending
