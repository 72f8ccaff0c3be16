"""
Secrets stay out of logs, errors, notes, XCom, rendered arguments and files.

The tests plant a key, the token of a public link, presigned links and payloads in each place of a server, a run and an
argument, and log at DEBUG.
"""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from airflow_langsmith.airflow_sdk import AirflowException
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import ConfigurationError, LangSmithError
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.masking import mask_secrets, mask_values
from airflow_langsmith.operators import LangSmithExportOperator, LangSmithReadRunOperator
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import VIEWS
from tests.versions import AIRFLOW

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
PAYLOAD = "ada-planted-payload"
EMAIL = f"{PAYLOAD}@example.com"
TOKEN = "5ec2e700-70ce-4a0b-8c0d-5ec2e7000001"
SIGNED = "X-Amz-Signature=planted0signature"
KEY = "lsv2_pt_planted0key0of0ours"
ONE_RUN: dict[str, Any] = {
    "id": "7086a3bf-30bc-4437-8537-6f1a73b90ac7",
    "start_time": "2026-03-01T10:00:00Z",
    "name": "agent",
    "run_type": "CHAIN",
    "inputs": {"q": EMAIL},
    "outputs": {EMAIL: 1},
    "error": EMAIL,
    "tags": [EMAIL],
    "metadata": {"session_id": EMAIL, "ls_model_name": EMAIL},
    "attachments": {EMAIL: f"http://127.0.0.1:9/{PAYLOAD}?{SIGNED}"},
    "share_url": f"https://smith.langchain.com/public/{TOKEN}/r",
}

Run = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    """Render and execute an operator or a sensor in a scheduled run over the first day."""

    def run(operator: Any) -> Any:
        context: Any = {"data_interval_start": START, "data_interval_end": START + DAY}
        operator.render_template_fields(context)
        return operator.execute(context=context)

    return run


class Output:
    """The text that an action writes: by each logger at DEBUG, and in its error."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.DEBUG)
        for name in ("httpx", "httpcore", "httpcore.http11", "airflow_langsmith"):
            caplog.set_level(logging.DEBUG, logger=name)
        self.text = ""

    def of(self, action: Callable[[], Any]) -> Any:
        """Run an action, store its text, and return its result or its error."""
        result: Any
        self._caplog.clear()
        with capture_logs() as entries:
            try:
                result = action()
            except (AirflowException, LangSmithError) as error:
                result = error
        logged = [f"{record.getMessage()} {record.args} {record.exc_text}" for record in self._caplog.records]
        self.text = "\n".join([*logged, *map(repr, entries)])
        if isinstance(result, Exception):
            self.text += "".join(list(traceback.TracebackException.from_exception(result).format()) + texts_of(result))
        return result


def texts_of(error: BaseException) -> list[str]:
    """Return the texts of an error, its causes and contexts, also those that no traceback shows."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        texts += [str(cause), repr(cause), repr(cause.args), repr(vars(cause)), repr(getattr(cause, "__notes__", ""))]
        if isinstance(cause, LangSmithError):
            texts.append(repr(pickle.dumps(cause)))
        cause = cause.__cause__ or cause.__context__
    return texts


@pytest.fixture
def output(caplog: pytest.LogCaptureFixture) -> Output:
    """The text that an action writes."""
    return Output(caplog)


def find_shop() -> None:
    """Read a project with the default connection."""
    with LangSmithHook() as hook:
        hook.project_id("shop")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[LangSmithStandIn]:
    """A server with the planted key, and a project."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.add_project("shop")
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", server.connection(max_retries=0, api_version="v2"))
        yield server


def changed(**fields: Any) -> bytes:
    """Return a page of a run, and of the run with changed fields."""
    return json.dumps({"items": [ONE_RUN, ONE_RUN | fields], "next_cursor": None}).encode()


PAGES: dict[str, bytes] = {
    "a payload in place of JSON": EMAIL.encode(),
    "a page of HTML": f"<html><title>{EMAIL}</title>{KEY}".encode(),
    "cut short": changed()[:-20],
    "bytes that are not UTF-8": b'{"items": [{"inputs": "' + EMAIL.encode() + b"\xff\x00",
    **{
        f"{name} is {kind}": changed(**{name: value})
        for name in ("start_time", "end_time", "tags", "error", "total_tokens", "total_cost", "metadata")
        for kind, value in {
            "a text": EMAIL,
            "an object": {EMAIL: EMAIL},
            "a number": 10**400,
            "a date": f"2026-99-{EMAIL}",
        }.items()
    },
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_quoted_nowhere(shop: LangSmithStandIn, tmp_path: Path, run: Run, output: Output, page: str) -> None:
    """No log and no error in the chain quotes a page, valid or not."""
    shop.misbehave("status", status=200, body=PAGES[page], times=None)
    operator = LangSmithExportOperator(
        task_id="export", project="shop", destination=f"file://{tmp_path}", redact={"*": "drop"}, payloads="flag"
    )
    output.of(lambda: run(operator))
    assert "/runs/query" in output.text
    for secret in (PAYLOAD, SIGNED, TOKEN, KEY):
        assert secret not in output.text


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 503])
@pytest.mark.parametrize("place", ["json", "text", "html", "header", "list"])
def test_an_echo_of_the_server_is_masked(
    shop: LangSmithStandIn, tmp_path: Path, run: Run, output: Output, status: int, place: str
) -> None:
    """A key, a public link and its token are masked in each form and place in which a server writes them."""
    echo = f"key {KEY}, {KEY.upper()}, at /public/{TOKEN}/r, {TOKEN.upper()} {TOKEN.replace('-', '')} at a?{SIGNED}"
    data = f"row {EMAIL}"
    bodies: dict[str, Any] = {
        "json": {"detail": echo, "input": data},
        "text": f"sorry: {echo}",
        "html": f"<html><title>sorry {echo}</title>".encode(),
        "header": {"detail": "no"},
        "list": {"detail": [{"loc": ["body", KEY], "msg": echo, "input": data, "ctx": {"error": data}}]},
    }
    headers = {"X-Echo": echo, "Location": f"https://x/{TOKEN}?{SIGNED}", "Sunset": echo} if place == "header" else {}
    for path in ("/runs/query", f"/public/{TOKEN}/run", f"/public/{TOKEN}/runs/query"):
        shop.misbehave("status", path=path, status=status, body=bodies[place], headers=headers, times=None)
    destination = f"file://{tmp_path}"
    for operator in (
        LangSmithExportOperator(task_id="export", project="shop", destination=destination),
        LangSmithReadRunOperator(task_id="read", run_id=f"https://smith.langchain.com/public/{TOKEN}/r"),
    ):
        assert isinstance(output.of(partial(run, operator)), Exception)
        text = output.text.lower()
        if isinstance(operator, LangSmithReadRunOperator):
            assert TOKEN not in text
            assert TOKEN.replace("-", "") not in text
        for secret in (KEY, PAYLOAD, f"/public/{TOKEN}"):
            assert secret.lower() not in text, (operator, secret)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_internal_error_of_the_server_is_not_quoted(
    shop: LangSmithStandIn, tmp_path: Path, run: Run, output: Output, status: int
) -> None:
    """The message of a 5xx may contain data, and is not in any text."""
    for body in ({"detail": f"cannot sort {EMAIL}"}, f"cannot sort {EMAIL}"):
        shop.misbehave("status", status=status, body=body)
        operator = LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}")
        assert isinstance(output.of(partial(run, operator)), AirflowException)
        assert PAYLOAD not in output.text


OK = b"HTTP/1.1 200 OK\r\n"
WORDS = EMAIL.encode()


@pytest.mark.parametrize(
    "answer",
    [
        WORDS,
        b"HTTP/1.1 200 " + WORDS + b"\r\nContent-Length: 1\r\n\r\n[",
        b"HTTP/1.1 403 " + WORDS + b"\r\nContent-Length: 2\r\n\r\n{}",
        OK + WORDS + b" no header\r\n\r\n",
        OK + b"Content-Length: " + WORDS + b"\r\n\r\n",
        OK + b"Transfer-Encoding: " + WORDS + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + WORDS + b"\r\n",
        OK + b"Content-Length: 99\r\n\r\n" + WORDS,
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(WORDS) + WORDS,
        OK + b"Content-Encoding: " + WORDS + b"\r\nContent-Length: 1\r\n\r\n[",
        b"HTTP/1.1 429 x\r\nRetry-After: " + WORDS + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1/" + WORDS + b"?" + WORDS + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=lambda answer: answer[:40].decode(),
)
def test_an_answer_in_invalid_http_is_not_quoted(
    output: Output, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """No error and no log has the bytes of an answer that is not valid HTTP."""

    class Broken(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connection = {"conn_type": "langsmith", "host": f"http://127.0.0.1:{server.server_address[1]}", "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection | {"extra": {"max_retries": 0}}))
        assert isinstance(output.of(find_shop), LangSmithError)
        server.shutdown()
    assert PAYLOAD not in output.text


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("view", sorted(VIEWS))
@pytest.mark.parametrize(
    "rules", [None, {"*": "drop"}, {"*": {"patterns": ["email"]}}], ids=["none", "drop", "pattern"]
)
def test_redacted_data_is_in_no_file_and_no_text(
    shop: LangSmithStandIn,
    tmp_path: Path,
    run: Run,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
    view: str,
    version: str,
    rules: Any,
) -> None:
    """The data of each field of a user is in the files without redaction only, and never in logs and results."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", shop.connection(max_retries=0, api_version=version))
    text = {"inputs": {EMAIL: EMAIL}, "outputs": {"a": [EMAIL]}, "error": EMAIL, "tags": [EMAIL], "name": EMAIL}
    metadata = {"session_id": EMAIL, "ls_model_name": EMAIL, EMAIL: EMAIL}
    more = {"events": [{"name": EMAIL}], "serialized": {"id": [EMAIL]}, "extra": {"metadata": metadata, EMAIL: EMAIL}}
    root = shop.add_run(project="shop", start_time=START, end_time=START, **text, **more)
    for run_type in ("tool", "retriever"):
        shop.add_run(project="shop", start_time=START, parent_run_id=root, run_type=run_type, **text, **more)
    feedback = {"value": EMAIL, "comment": EMAIL, "correction": {EMAIL: EMAIL}, "extra": {"x": EMAIL}}
    shop.add_feedback(root, key=EMAIL, score=1, created_at=START.isoformat(), **feedback)
    names = [column.name for column in VIEWS[view].columns]
    operator = LangSmithExportOperator(
        task_id="export",
        project="shop",
        destination=f"file://{tmp_path}",
        view=view,
        columns=names,
        redact=rules,
        format="jsonl",
        compression="none",
        flatten="*",
    )
    result = output.of(lambda: run(operator))
    assert result["rows"] >= 1
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert (PAYLOAD.encode() in files) is (rules is None)
    assert PAYLOAD not in output.text + repr(result)


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 masks no rendered arguments")
def test_a_public_link_is_masked_among_the_rendered_arguments(output: Output) -> None:
    """The token of a public link is masked in the arguments that Airflow shows, literal or rendered."""
    sdk = pytest.importorskip("airflow.sdk.execution_time.task_runner")
    link = f"https://smith.langchain.com/public/{TOKEN}/r"
    literal = LangSmithReadRunOperator(task_id="literal", run_id=link)
    assert TOKEN not in repr(sdk._serialize_rendered_fields(literal))  # what a worker sends
    other = TOKEN.replace("5ec2e700", "5ec2e701")
    rendered = LangSmithReadRunOperator(task_id="rendered", run_id="{{ params.link }}")
    rendered.render_template_fields({"params": {"link": link.replace(TOKEN, other)}})
    assert other in rendered.run_id
    assert other not in repr(sdk._serialize_rendered_fields(rendered))


@pytest.mark.parametrize("mark", ["\x00", "\n", "\x7f", "\u200b", "é", " ", "\u2028"])
def test_a_key_that_cannot_be_sent_is_refused(
    shop: LangSmithStandIn, output: Output, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """A key that is not printable is refused before a request is sent, and the error does not quote it."""
    key = f"planted{mark}key"
    connection = {"conn_type": "langsmith", "host": shop.url, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection))
    assert isinstance(output.of(find_shop), LangSmithError)
    assert "API key" in output.text
    assert "planted" not in output.text
    assert not shop.requests


def test_a_key_that_httpx_refuses_is_not_quoted(shop: LangSmithStandIn, output: Output) -> None:
    """The error about a key that httpx cannot send does not quote it."""
    with LangSmithClient(Settings(api_url=shop.url, api_key="planted\x00key", max_retries=0)) as client:
        assert isinstance(output.of(lambda: client.project("shop")), LangSmithError)
    assert "planted" not in output.text


@pytest.mark.parametrize("field", ["host", "workspace_id", "api_version", "timeout", "ui_host", "verify"])
def test_a_key_in_a_wrong_field_is_not_quoted(
    shop: LangSmithStandIn, output: Output, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """The error about another field of the connection does not quote a key in it."""
    connection: dict[str, Any] = {"conn_type": "langsmith", "host": shop.url, "password": "k", "extra": {"timeout": 1}}
    if field == "host":
        connection["host"] = KEY
    else:
        connection["extra"] = {field: f"{KEY} {KEY}" if field == "ui_host" else KEY, "max_retries": 0}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection))
    assert isinstance(output.of(find_shop), ConfigurationError)
    assert field in output.text
    assert KEY not in output.text


@pytest.mark.parametrize("sensor", [LangSmithFeedbackSensor, LangSmithSettledSensor])
def test_a_sensor_quotes_no_feedback(shop: LangSmithStandIn, run: Run, output: Output, sensor: Any) -> None:
    """The log and the error of a sensor have counts and figures, and no comment, value or payload."""
    run_id = shop.add_run(project="shop", start_time=START, inputs={"q": EMAIL}, error=EMAIL)
    for value in (EMAIL, {"a": EMAIL}, "good"):
        shop.add_feedback(run_id, key="tone", value=value, comment=EMAIL, correction={"x": EMAIL})
    arguments = {"condition": "share(tone, 'bad') > 0.5"} if sensor is LangSmithFeedbackSensor else {"quiet_for": "1d"}
    operator = sensor(task_id="wait", project="shop", timeout=0.0, mode="poke", poke_interval=0.01, **arguments)
    assert isinstance(output.of(lambda: run(operator)), Exception)
    assert "tone" in output.text or "pending" in output.text
    assert PAYLOAD not in output.text


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


@given(SECRET, st.text(max_size=10), st.text(max_size=10), st.sampled_from(["as it is", "JSON", "upper", "twice"]))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_each_form_of_a_secret_is_masked(secret: str, before: str, after: str, way: str) -> None:
    """Any key is masked in any text, in the forms in which servers write it."""
    text = {
        "as it is": f"{before}{secret}{after}",
        "JSON": json.dumps({"detail": f"{before}{secret}{after}"}),
        "upper": f"{before}{secret.upper()}{after}",
        "twice": f"{secret}{before}{secret}",
    }[way]
    clean = mask_values(text.encode(), secret).decode()
    assert secret.lower() not in clean.lower().replace("***", "\n")
    assert mask_values(b"nothing to hide", base64.b64encode(secret.encode()).decode() + "!") == b"nothing to hide"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"bad {KEY}.", "bad ***."),
        (f"at https://a.example.com/public/{TOKEN}/r/x", "at https://a.example.com/public/***/r/x"),
        (f"at %2Fpublic%2F{TOKEN}%2Fr", "at %2Fpublic%2F***%2Fr"),
        (f"GET https://b.s3.example.com/x?{SIGNED}&y=1 failed", "GET https://b.s3.example.com/x?*** failed"),
        ("'s3://AKIA:planted@bucket/key' is", "'s3://***@bucket/key' is"),
        ("duckdb:///lake.duckdb?table=langsmith.runs", "duckdb:///lake.duckdb?table=langsmith.runs"),
        ('eq(name, "what?") at s3://lake@bucket/key', 'eq(name, "what?") at s3://lake@bucket/key'),
    ],
)
def test_errors_mask_what_looks_like_a_secret(text: str, shown: str) -> None:
    """An error masks keys, links and credentials in its message, its arguments and its pickle."""
    error = LangSmithError(text)
    assert mask_secrets(text) == error.message == error.args[0] == shown
    assert pickle.loads(pickle.dumps(error)).message == shown
