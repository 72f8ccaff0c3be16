"""Exports list or download the files that are attached to runs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import langsmith as sdk
import pytest
from langsmith.schemas import Attachment
from structlog.testing import capture_logs

from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException
from airflow_langsmith.api.payloads import MAX_ATTACHMENT_BYTES
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])
PNG, LONG = b"\x89PNG\r\n--\x00", bytes(range(256)) * 20_000

Land = Callable[..., dict[str, Any]]


@pytest.fixture
def land(langsmith: LangSmithStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Land:
    """Export the day as an operator does, as lines of JSON."""

    def run(version: str = "v2", **arguments: Any) -> dict[str, Any]:
        connection = langsmith.connection(api_version=version, max_retries=1, requests_per_10s=1000)
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
        options = {"destination": f"file://{tmp_path}", "format": "jsonl", "compression": "none", **arguments}
        operator = LangSmithExportOperator(
            task_id="export", project="shop", start_time=START, end_time=START + DAY, **options
        )
        return operator.execute({})

    return run


@pytest.fixture
def logged(langsmith: LangSmithStandIn) -> Iterator[sdk.Client]:
    """Log two runs with files by the SDK; two files have the same content."""
    client = sdk.Client(api_url=langsmith.url, api_key=langsmith.api_key, omit_traced_runtime_info=True)
    for number, files in enumerate(
        (
            {"photo": ("image/png", PNG), "long": Attachment("application/pdf", LONG)},
            {"copy": ("image/png", PNG), "empty": ("text/plain", b"")},
        )
    ):
        run, start = UUID(int=number + 1, version=4), START + timedelta(minutes=number)
        client.create_run(
            "see",
            {},
            "chain",
            id=run,
            trace_id=run,
            dotted_order=f"{start:%Y%m%dT%H%M%S%f}Z{run}",
            project_name="shop",
            start_time=start,
            attachments=files,
        )
    client.flush()
    yield client
    client.close()


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the rows that an export landed."""
    place = place_of(result)
    return [
        json.loads(line)
        for file in read_manifest(result).files
        for line in (place / file.name).read_text().splitlines()
    ]


def place_of(result: dict[str, Any]) -> Path:
    """Return the partition of an export."""
    return Path(result["manifest"].removeprefix("file://")).parent


def content(place: Path) -> dict[str, bytes]:
    """Return the content of each object in a partition."""
    return {path.name: path.read_bytes() for path in place.iterdir()}


@BOTH
def test_what_the_sdk_attached_is_listed(
    logged: sdk.Client, langsmith: LangSmithStandIn, land: Land, version: str
) -> None:
    """Each run and each trace lists its files by name, without a request for a file."""
    png, pdf, text = ("image/png", "application/pdf", "text/plain") if version == "v1" else (None, None, None)
    expected = [
        [{"name": "copy", "type": png, "size": None}, {"name": "empty", "type": text, "size": None}],
        [{"name": "long", "type": pdf, "size": None}, {"name": "photo", "type": png, "size": None}],
    ]
    for view in ("runs", "traces"):
        result = land(version, view=view)
        assert [row["attachments"] for row in rows(result)] == expected
        assert read_manifest(result).attachments == ()
    assert not [request for request in langsmith.requests if "/storage/" in request.path]


@BOTH
def test_what_the_sdk_attached_lands_byte_for_byte(logged: sdk.Client, land: Land, version: str) -> None:
    """A downloaded file is beside the parts, once and unchanged; the row and the manifest name it."""
    result = land(version, attachments="download")
    place, manifest = place_of(result), read_manifest(result)
    landed = {
        (row["run_id"][-1], file["name"]): (
            file["type"],
            file["size"],
            (place / file["file"]).read_bytes(),
            file["file"],
        )
        for row in rows(result)
        for file in row["attachments"]
    }
    assert {key: value[:3] for key, value in landed.items()} == {
        ("1", "photo"): ("image/png", len(PNG), PNG),
        ("1", "long"): ("application/pdf", len(LONG), LONG),
        ("2", "copy"): ("image/png", len(PNG), PNG),
        ("2", "empty"): ("text/plain", 0, b""),
    }
    assert landed["1", "photo"] == landed["2", "copy"]
    names = sorted({file for *_, file in landed.values()})
    assert [file.name for file in manifest.attachments] == names
    assert [name.partition(".")[2] for name in names] != ["bin"] * 3
    for file in manifest.attachments:
        body = (place / file.name).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file.bytes, file.sha256)
        assert file.name.startswith(f"_attachment-{file.sha256[:16]}.")
    assert set(content(place)) == {"_manifest.json", *manifest.sizes}


def test_both_versions_land_the_same(logged: sdk.Client, land: Land) -> None:
    """After a download, rows, files and types are the same with both API versions."""
    partitions = [
        content(place_of(land(version, attachments="download", partition=version))) for version in ("v1", "v2")
    ]
    for objects in partitions:
        del objects["_manifest.json"]
    assert partitions[0] == partitions[1]


@BOTH
def test_again_is_the_same(logged: sdk.Client, langsmith: LangSmithStandIn, land: Land, version: str) -> None:
    """A re-run gives the same objects, and deletes files that it no longer lists."""
    place = place_of(land(version, attachments="download"))
    before = content(place)
    assert content(place_of(land(version, attachments="download"))) == before
    assert sum(name.startswith("_attachment-") for name in before) == 3
    land(version)
    assert not [name for name in content(place) if name.startswith("_attachment-")]
    land(version, attachments="download")
    assert content(place) == before


def test_identical_content_lands_once_whatever_its_type(langsmith: LangSmithStandIn, land: Land) -> None:
    """Two attachments with the same bytes and different types are one object."""
    files = {"a": ("image/png", b"same"), "b": ("text/plain", b"same")}
    langsmith.add_run(project="shop", start_time=START, attachments=files)
    (row,) = rows(land("v1", attachments="download"))
    assert [file["type"] for file in row["attachments"]] == ["image/png", "text/plain"]
    assert len({file["file"] for file in row["attachments"]}) == 1


@BOTH
def test_links_land_nowhere(
    logged: sdk.Client, langsmith: LangSmithStandIn, land: Land, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Objects, logs, results and errors contain no link, after a success and after a failure."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    langsmith.misbehave("status", path="/photo")
    with capture_logs() as logs:
        result = land(version, attachments="download")
        langsmith.misbehave("status", status=404, path="/photo", times=None)
        flagged = land(version, attachments="download", payloads="flag", partition="flagged")
        with pytest.raises(AirflowException) as caught:
            land(version, attachments="download", partition="failed")
    text = caplog.text + repr(logs) + repr(result) + repr(flagged) + str(caught.value)
    text += repr(caught.value.__cause__) + repr(caught.value.__context__)
    written = b"".join([*content(place_of(result)).values(), *content(place_of(flagged)).values()])
    assert "Blob storage answered 404" in text
    for secret in ("signed", "/storage/", langsmith.api_key):
        assert secret not in text
        assert secret.encode() not in written


@BOTH
def test_an_attachment_that_cannot_be_had(
    logged: sdk.Client, langsmith: LangSmithStandIn, land: Land, version: str
) -> None:
    """A missing file fails the task; with ``payloads="flag"`` it is marked, and the other files land."""
    langsmith.misbehave("status", status=403, path="/photo", times=None)
    with pytest.raises(AirflowException, match=says("attachments='list'")) as caught:
        land(version, attachments="download")
    assert not isinstance(caught.value, AirflowFailException)
    result = land(version, attachments="download", payloads="flag")
    assert [row["missing_payloads"] for row in rows(result)] == [[], ["attachments.photo"]]
    lost = rows(result)[1]["attachments"][1]
    assert lost == {"name": "photo", "type": "image/png" if version == "v1" else None, "size": None}
    assert len(read_manifest(result).attachments) == 3
    assert read_manifest(result).missing_payloads == 1


def test_a_failure_leaves_no_strays(logged: sdk.Client, langsmith: LangSmithStandIn, land: Land) -> None:
    """If a download fails, new files are deleted, and the previous export stays."""
    place = place_of(land(attachments="download"))
    before = content(place)
    run = langsmith.add_run(project="shop", start_time=START, attachments={"new": ("text/plain", b"new")})
    langsmith.add_run(project="shop", start_time=START - timedelta(minutes=1), attachments={"x": ("text/plain", b"x")})
    langsmith.misbehave("status", status=404, path="/long", times=None)
    with pytest.raises(AirflowException):
        land(attachments="download")
    assert content(place) == before
    assert langsmith.requests_to(f"/storage/{run}/new")
    langsmith.behave()
    land(attachments="download")
    assert len(content(place)) == len(before) + 1


@BOTH
def test_files_on_another_host(langsmith: LangSmithStandIn, storage: Any, land: Land, version: str) -> None:
    """A request to another host has no API key, and a download stops at the size limit."""
    langsmith.add_project("shop")
    fine, endless = storage.put("/fine", b"fine", content_type="text/plain"), storage.put("/endless", None)

    def page(**links: str) -> dict[str, Any]:
        run: dict[str, Any] = {"id": "r", "start_time": "2026-03-01T00:00:00Z"}
        if version == "v2":
            run["attachments"] = links
        else:
            run["s3_urls"] = {f"attachment.{name}": {"presigned_url": link} for name, link in links.items()}
        return {"runs": [run], "items": [run]}

    langsmith.misbehave("status", status=200, body=page(fine=fine, endless=endless))
    (row,) = rows(land(version, attachments="download", payloads="flag"))
    assert [(file["name"], file["type"], file["size"]) for file in row["attachments"]] == [
        ("endless", None, None),
        ("fine", "text/plain", 4),
    ]
    assert row["missing_payloads"] == ["attachments.endless"]
    assert storage.hung_up.acquire(timeout=10)
    assert storage.sent < MAX_ATTACHMENT_BYTES * 1.2
    assert sorted(path for path, _ in storage.requests) == ["/endless", "/fine"]
    assert not [headers for _, headers in storage.requests if "x-api-key" in headers]
    langsmith.misbehave("status", status=200, body=page(endless=endless))
    with pytest.raises(AirflowFailException, match=says(r"attachment of run r.* is over 256 MB")):
        land(version, attachments="download")
    langsmith.misbehave("status", status=200, body=page(nowhere=""))
    with pytest.raises(AirflowException, match=says(r"no link to the attachment of run r")):
        land(version, attachments="download")


def test_many_files_take_little_of_the_local_disk(
    langsmith: LangSmithStandIn, land: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local disk holds at most eight files at a time."""
    for number in range(30):
        langsmith.add_run(
            project="shop", start_time=START, attachments={"x": ("text/plain", b"%d" % number), "y": ("a/b", LONG)}
        )
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(local))
    most = 0

    class Watching(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            nonlocal most
            most = max(most, len(list(local.rglob("attachment-*"))))

    watching, network = Watching(), logging.getLogger("httpcore.http11")
    network.addHandler(watching)
    network.setLevel(logging.DEBUG)
    try:
        result = land(attachments="download")
    finally:
        network.removeHandler(watching)
        network.setLevel(logging.NOTSET)
    assert 1 <= most <= 8
    assert len(read_manifest(result).attachments) == 31
    assert not list(local.iterdir())


def test_what_is_refused(langsmith: LangSmithStandIn, land: Land) -> None:
    """Attachments are refused for a view or columns that cannot hold them, before any request."""
    langsmith.add_run(project="shop", start_time=START)
    for arguments in ({"view": "traces"}, {"view": "feedback"}, {"columns": ["run_id"]}):
        with pytest.raises(AirflowFailException, match=says("is for the view runs with its column attachments")):
            land(attachments="download", **arguments)
    with pytest.raises(AirflowFailException, match=says("It is one of list, download")):
        land(attachments="both")
    assert not langsmith.requests_to("/runs/query")


def test_runs_outside_of_the_window_bring_no_files(langsmith: LangSmithStandIn, storage: Any, land: Land) -> None:
    """Files of runs outside the window are not downloaded, and files of a repeated run only once."""
    langsmith.add_project("shop")
    times = {"inside": "2026-03-01T00:00:00Z", "outside": "2026-02-28T23:59:59.999999Z"}
    runs = [
        {"id": name, "start_time": time, "attachments": {"x": storage.put(f"/{name}", name.encode())}}
        for name, time in times.items()
    ]
    langsmith.misbehave("status", status=200, body={"items": runs, "next_cursor": "more"})
    langsmith.misbehave("status", status=200, body={"items": runs})
    assert len(rows(land(attachments="download"))) == 1
    assert [path for path, _ in storage.requests] == ["/inside"]


@BOTH
def test_attachments_of_a_self_hosted_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Behind nginx the files of a self-hosted server land, not the HTML page of its UI."""
    with LangSmithStandIn(self_hosted=True) as server:
        files = {"photo": ("image/jpeg", PNG), "page": ("text/html", b"<p>ours</p>")}
        server.add_run(project="shop", start_time=START, attachments=files)
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", server.connection(api_version=version, max_retries=0))
        operator = LangSmithExportOperator(
            task_id="export",
            project="shop",
            start_time=START,
            end_time=START + DAY,
            destination=f"file://{tmp_path}",
            format="jsonl",
            compression="none",
            attachments="download",
        )
        result = operator.execute({})
    (row,) = rows(result)
    landed = {file["name"]: (place_of(result) / file["file"]).read_bytes() for file in row["attachments"]}
    assert landed == {"photo": PNG, "page": b"<p>ours</p>"}


HTML = b"<!doctype html><title>LangSmith</title>"


@pytest.mark.parametrize(
    ("said", "came", "lands"),
    [
        ("image/jpeg", "text/html; charset=utf-8", False),
        ("image/jpeg", "application/json", False),
        ("image/jpeg", "text/plain", False),
        ("application/pdf", "text/html", False),
        ("text/plain", "TEXT/HTML", False),
        ("image/jpeg", "image/jpeg", True),
        ("image/jpeg", "application/octet-stream", True),
        ("image/jpeg", "", True),
        ("image/svg+xml", "text/xml", True),
        ("text/html", "text/html", True),
        ("text/markdown", "text/plain", True),
        ("application/x-yaml", "application/json", True),
        ("image/jpeg; length=39", "image/jpeg", True),
        ("image/jpeg; length=40", "image/jpeg", False),
        (None, "text/html", True),
    ],
)
def test_what_comes_is_what_was_said(
    langsmith: LangSmithStandIn, storage: Any, land: Land, said: str | None, came: str, lands: bool
) -> None:
    """A download whose type or size differs from LangSmith's record is flagged, and does not land."""
    langsmith.add_project("shop")
    link = {"presigned_url": storage.put("/file", HTML, content_type=came), "mime_type": said}
    run = {"id": "r", "start_time": "2026-03-01T00:00:00Z", "s3_urls": {"attachment.file": link}}
    langsmith.misbehave("status", status=200, body={"runs": [run]})
    result = land("v1", attachments="download", payloads="flag")
    (row,) = rows(result)
    assert row["missing_payloads"] == ([] if lands else ["attachments.file"])
    assert len(read_manifest(result).attachments) == lands
    assert "length" not in (row["attachments"][0]["type"] or "")


def test_a_page_of_langsmith_s_own_host_is_no_file(langsmith: LangSmithStandIn, land: Land) -> None:
    """HTML from LangSmith's own host is its UI, unless the file's type is HTML, so the task fails."""
    langsmith.add_project("shop")
    link = {"presigned_url": "/nowhere"}
    run = {"id": "r", "start_time": "2026-03-01T00:00:00Z", "s3_urls": {"attachment.file": link}}
    langsmith.misbehave("status", status=200, body={"runs": [run]})
    langsmith.misbehave("html", status=200, path="/nowhere")
    with pytest.raises(AirflowException, match=says(r"with 'text/html' in place of the attachment of run r")):
        land("v1", attachments="download")
