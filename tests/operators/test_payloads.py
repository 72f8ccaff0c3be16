"""Missing and malformed payloads, in each view of an export."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException
from airflow_langsmith.api.payloads import MAX_PAYLOAD_BYTES
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ReadRows, TaskLog
from tests.defects import DOCUMENTS
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """Add two traces with a retriever and a thread; payloads of the first one are missing."""
    connection = langsmith.connection(api_version="v1", max_retries=0, requests_per_10s=1000)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
    for number in range(2):
        start = START + timedelta(minutes=number)
        root = langsmith.add_run(
            id=f"00000000-0000-4000-8000-00000000000{number}",
            project="shop",
            start_time=start,
            inputs={"q": number},
            outputs={"a": number},
            extra={"metadata": {"thread_id": "t"}},
        )
        child = langsmith.add_run(
            id=f"00000000-0000-4000-8000-00000000001{number}",
            project="shop",
            parent_run_id=root,
            run_type="retriever",
            start_time=start,
            inputs={"query": number},
            outputs={"documents": []},
            extra={"metadata": {"ls_model_name": "m"}},
        )
        langsmith.add_feedback(root, key="user_score", score=1)
        for run in (root, child):
            langsmith.offload(run, "inputs", "outputs")
    langsmith.offload(child, "extra")
    return langsmith


def export(tmp_path: Path, view: str = "runs", **arguments: Any) -> dict[str, Any]:
    """Export the day as an operator does."""
    day: Any = {"start_time": START, "end_time": START + DAY}
    operator = LangSmithExportOperator(
        task_id="export", project="shop", destination=f"file://{tmp_path}", view=view, **day, **arguments
    )
    return operator.execute({})


FIRST, CHILD = "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000010"


@pytest.mark.parametrize(
    ("view", "gone", "marks"),
    [
        ("runs", f"{FIRST}/inputs", [[], [], [], ["inputs"]]),
        ("runs", f"{CHILD}/outputs", [[], [], ["outputs"], []]),
        ("traces", f"{FIRST}/outputs", [[], ["outputs"]]),
        ("traces", "0011/extra", [["extra"], []]),
        ("retrievals", f"{FIRST}/inputs", [[], ["inputs"]]),
        ("retrievals", f"{CHILD}/outputs", [[], ["retriever_outputs"]]),
        ("threads", f"{FIRST}/inputs", [["inputs"]]),
    ],
)
def test_each_view_marks_what_is_missing(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, view: str, gone: str, marks: list[list[str]]
) -> None:
    """A missing payload is marked in the row of its run or trace, and the manifest counts the marks."""
    shop.misbehave("status", status=404, path=gone, times=None)
    result = export(tmp_path, view, payloads="flag")
    assert [row["missing_payloads"] for row in read_rows(result["manifest"])] == marks
    assert read_manifest(result).missing_payloads == 1


def test_feedback_has_no_payloads(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """The view ``feedback`` accepts ``payloads``, and marks nothing."""
    manifest = read_manifest(export(tmp_path, "feedback", payloads="flag"))
    assert "missing_payloads" not in {column.name for column in manifest.columns}


def test_a_missing_payload_of_a_retriever_keeps_its_place(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows
) -> None:
    """A missing payload of a retriever is null in the list, and the others keep their places."""
    shop.add_run(
        project="shop", parent_run_id=FIRST, run_type="retriever", start_time=START + DAY, outputs={"documents": [1]}
    )
    shop.misbehave("status", status=404, path=f"{CHILD}/outputs", times=None)
    rows = read_rows(export(tmp_path, "retrievals", payloads="flag")["manifest"])
    assert json.loads(rows[1]["retriever_outputs"]) == [None, {"documents": [1]}]


def test_the_column_comes_with_the_choice(shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows) -> None:
    """The column ``missing_payloads`` exists with ``payloads="flag"`` only, for any selection of columns."""

    def columns(**arguments: Any) -> list[str]:
        return list(read_rows(export(tmp_path, **arguments)["manifest"])[0])

    assert "missing_payloads" not in columns()
    assert columns(payloads="flag")[-1] == "missing_payloads"
    assert columns(payloads="flag", columns=["run_id"]) == ["run_id", "missing_payloads"]
    assert columns(payloads="flag", columns=["missing_payloads", "run_id"]) == ["missing_payloads", "run_id"]
    assert columns(payloads="flag", columns=["run_id"], flatten=["inputs.q"]) == [
        "run_id",
        "missing_payloads",
        "inputs__q",
    ]
    with pytest.raises(AirflowFailException, match=says("no column 'missing_payloads'")):
        columns(columns=["run_id", "missing_payloads"])


def test_the_log_tells_of_it(shop: LangSmithStandIn, tmp_path: Path, task_log: TaskLog) -> None:
    """The log has the number of missing payloads, and the ids of their rows if these are exported."""
    shop.misbehave("status", status=404, path="/inputs", times=None)
    export(tmp_path, payloads="flag", columns=["run_id", "inputs"])
    warnings = [line for level, line in task_log() if level == "warning"]
    assert "4 payloads could not be fetched; the column missing_payloads names them" in warnings
    assert {f"A payload is missing from runs {id_}" for id_ in (FIRST, CHILD)} <= set(warnings)
    shop.behave()
    export(tmp_path, payloads="flag")
    assert len([line for _, line in task_log() if "could not be fetched" in line]) == 1


def test_without_it_the_task_fails(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """By default a missing payload fails the task, for a retry if that may help."""
    shop.misbehave("status", status=404, path="/inputs")
    with pytest.raises(
        AirflowException, match=says("payloads='flag', leave the column out, or set 'api_version'")
    ) as caught:
        export(tmp_path)
    assert not isinstance(caught.value, AirflowFailException)
    shop.misbehave("status", status=200, path="/inputs", body=b'"' + b"x" * MAX_PAYLOAD_BYTES + b'"')
    with pytest.raises(AirflowFailException, match=says("over 64 MB")):
        export(tmp_path)
    assert not list(tmp_path.rglob("*.*"))
    with pytest.raises(AirflowFailException, match=says("It is one of fail, flag")):
        export(tmp_path, payloads="ignore")


# Payloads with defects that Python programs and language models write.
DEFECTS = {
    "half an emoji": b'{"a":"cut \\ud83d"}',
    "NaN": b'{"a":NaN,"b":[Infinity,-Infinity]}',
    "NUL at the end": b'{"a":1}\x00',
    "BOM at the end": b'{"a":1}\xef\xbb\xbf',
    "BOM at the start": b'\xef\xbb\xbf{"a":1}',
    "no UTF-8": b'{"a":"\xff"}',
    "control characters": b'{"a":"x\ty\nz"}',
    "lines": b'{\r\n  "a": NaN\n}',
    "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "fine": b'{"a":1.10}',
}


def page_of(defects: dict[str, bytes], links: dict[str, str]) -> bytes:
    """Return a page with a run for each defect, with inputs in the page or at the links."""
    runs = []
    for number, (name, defect) in enumerate(defects.items()):
        run = f'"id":"{number}","name":"{name}","start_time":"2026-03-01T00:00:{number:02d}Z"'
        inputs = b'"inputs":' + defect
        if links:
            inputs = b'"inputs":null,"inputs_s3_urls":{"ROOT":{"presigned_url":"%b"}}' % links[name].encode()
        runs.append(b"{%b,%b}" % (run.encode(), inputs))
    return b'{"runs":[%b]}' % b",".join(reversed(runs))


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_payloads_land_alike_by_page_and_by_blob_storage(
    langsmith: LangSmithStandIn, storage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: Any
) -> None:
    """A malformed payload is repaired alike from a page and from blob storage, for strict readers."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(api_version="v1", max_retries=0))
    langsmith.add_project("shop")
    values = landed(langsmith, storage, tmp_path, DEFECTS, format_)
    assert values["half an emoji"] == {"a": "cut \ufffd"}
    assert values["NaN"] == {"a": "NaN", "b": ["Infinity", "-Infinity"]}
    assert values["NUL at the end"] == values["BOM at the end"] == values["BOM at the start"] == {"a": 1}
    assert values["no UTF-8"] == {"a": "\ufffd"}
    assert values["control characters"] == {"a": "x\ty\nz"}
    assert values["lines"] == {"a": "NaN"}
    assert values["fine"] == {"a": 1.10}


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(DOCUMENTS, min_size=10, max_size=30))
def test_any_payloads_land_alike_by_page_and_by_blob_storage(
    langsmith: LangSmithStandIn, storage: Any, tmp_path: Path, format_: Any, documents: list[bytes]
) -> None:
    """Any payload gives the same row from a page and from blob storage, and strict readers accept it."""
    with pytest.MonkeyPatch.context() as environment:
        connection = langsmith.connection(api_version="v1", max_retries=0, requests_per_10s=1000)
        environment.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
        langsmith.add_project("shop")
        defects = {str(number): document for number, document in enumerate(documents)}
        assert landed(langsmith, storage, tmp_path, defects, format_).keys() == defects.keys()


def landed(
    langsmith: LangSmithStandIn, storage: Any, tmp_path: Path, defects: dict[str, bytes], format_: str
) -> dict[str, Any]:
    """Export payloads from a page and from blob storage, and return their equal values."""
    links = {name: storage.put(f"/{name.replace(' ', '-')}", defect) for name, defect in defects.items()}
    results: list[list[Any]] = []
    for way, page in (("page", page_of(defects, {})), ("blob", page_of(defects, links))):
        langsmith.misbehave("status", status=200, body=page)
        result = export(tmp_path / way, format=format_, compression="zstd", columns=["run_id", "inputs"])
        results.append(strict_rows(result, format_))
    assert results[0] == results[1]
    return dict(zip(defects, (row["inputs"] for row in reversed(results[0])), strict=True))


def strict_rows(result: dict[str, Any], format_: str) -> list[dict[str, Any]]:
    """Read rows by Python's strict reader, and check that other readers accept the part."""
    place = Path(result["manifest"].removeprefix("file://")).parent
    (part,) = [place / file.name for file in read_manifest(result).files]
    if format_ == "parquet":
        rows = pq.read_table(part).to_pylist()
        return [{**row, "inputs": strictly(row["inputs"] or "null")} for row in rows]
    lines = pa.input_stream(part, compression="zstd").read()
    with duckdb.connect() as database:
        columns = "{run_id: 'varchar', inputs: 'json'}"
        assert database.execute(f"select inputs from read_json('{part}', columns = {columns})").fetchall()
    return [strictly(line) for line in lines.split(b"\n")[:-1]]


def strictly(text: str | bytes) -> Any:
    """Read JSON without NaN, Infinity and other extensions."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text, parse_constant=refuse)


@pytest.mark.parametrize(
    "links",
    [
        {"inputs_s3_urls": {"ROOT": None}},
        {"inputs_s3_urls": {"ROOT": {}}},
        {"inputs_s3_urls": {"ROOT": {"presigned_url": None}}},
        {"inputs_s3_urls": {"ROOT": {"presigned_url": ""}}},
        {"inputs_s3_urls": {"ROOT": "s3://bucket/key"}},
        {"inputs_s3_urls": {"s3_url": "key"}},
        {"inputs_s3_urls": {"ROOT": {}}, "inputs": {}},
        {"s3_urls": {"error": {}}},
        {"s3_urls": {"error": None}, "error": ""},
        {"s3_urls": {"extra": {"presigned_url": 7}}},
    ],
)
def test_a_payload_without_a_usable_link_is_never_null_in_silence(
    langsmith: LangSmithStandIn,
    tmp_path: Path,
    read_rows: ReadRows,
    monkeypatch: pytest.MonkeyPatch,
    links: dict[str, Any],
) -> None:
    """A payload in blob storage without a usable link fails the task or is marked."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(api_version="v1", max_retries=0))
    langsmith.add_project("shop")
    page = {"runs": [{"id": "r", "start_time": "2026-03-01T00:00:00Z", **links}]}
    langsmith.misbehave("status", status=200, body=page, times=None)
    with pytest.raises(AirflowException, match=says(r"There is no link to the \w+ of run r")):
        export(tmp_path)
    (row,) = read_rows(export(tmp_path, payloads="flag")["manifest"])
    (name,) = row["missing_payloads"]
    assert name in ("inputs", "error", "extra")
    assert row.get(name) is None


@pytest.mark.parametrize("links", [{"inputs_s3_urls": {}}, {"inputs_s3_urls": None}, {"s3_urls": {}}])
def test_no_links_mean_no_payloads(
    langsmith: LangSmithStandIn,
    tmp_path: Path,
    read_rows: ReadRows,
    monkeypatch: pytest.MonkeyPatch,
    links: dict[str, Any],
) -> None:
    """A run without payloads and links has no missing payload."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(api_version="v1", max_retries=0))
    langsmith.add_project("shop")
    page = {"runs": [{"id": "r", "start_time": "2026-03-01T00:00:00Z", **links}]}
    langsmith.misbehave("status", status=200, body=page)
    (row,) = read_rows(export(tmp_path, payloads="flag")["manifest"])
    assert (row["inputs"], row["missing_payloads"]) == (None, [])


def test_an_error_in_blob_storage_is_its_text(shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows) -> None:
    """An error in blob storage may be a JSON string or plain text, and lands as from a page."""
    for number, error in enumerate(("a\nb", '{"code": 7}')):
        run = shop.add_run(project="shop", start_time=START + timedelta(hours=1, seconds=number), error=error)
        shop.offload(run, "error")
    plain = shop.add_run(project="shop", start_time=START + timedelta(hours=2), error="x")
    shop.offload(plain, "error")
    shop.misbehave("status", status=200, path=f"{plain}/error", body=b"Boom: <no> JSON")
    rows = read_rows(export(tmp_path, columns=["start_time", "error"])["manifest"])
    assert [row["error"] for row in rows if row["error"]] == ["Boom: <no> JSON", '{"code": 7}', "a\nb"]


def test_links_of_a_self_hosted_server_are_below_its_api(
    tmp_path: Path, read_rows: ReadRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link without a host is relative to ``/api``, for any spelling of the host, because the root is the UI."""
    with LangSmithStandIn(self_hosted=True) as server:
        run = server.add_run(project="shop", start_time=START, inputs={"q": 1}, error="boom")
        server.offload(run, "inputs", "error")
        for host in (server.url, server.url.removesuffix("/api"), f"{server.url}/v1"):
            connection = {"conn_type": "langsmith", "host": host, "password": server.api_key}
            extra = {"api_version": "v1", "max_retries": 0, "requests_per_10s": 1000}
            monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps({**connection, "extra": extra}))
            (row,) = read_rows(export(tmp_path)["manifest"])
            assert (json.loads(row["inputs"]), row["error"]) == ({"q": 1}, "boom")
        assert {request.path.split("/")[1] for request in server.requests} == {"api"}


@pytest.mark.parametrize("payload", ["inputs", "error"])
def test_a_page_of_html_is_no_payload(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, payload: str
) -> None:
    """An HTML page with status 200 instead of a payload fails the task or is marked."""
    run = shop.add_run(project="shop", start_time=START + timedelta(hours=1), **{payload: "x"})
    shop.offload(run, payload)
    shop.misbehave("html", status=200, path=f"{run}/{payload}", times=None)
    with pytest.raises(
        AirflowException, match=says(f"with 'text/html' in place of the {payload} of run {run}")
    ) as caught:
        export(tmp_path)
    assert not isinstance(caught.value, AirflowFailException)
    rows = read_rows(export(tmp_path, payloads="flag")["manifest"])
    (row,) = [row for row in rows if row["run_id"] == run]
    assert (row["missing_payloads"], row[payload]) == ([payload], None)
