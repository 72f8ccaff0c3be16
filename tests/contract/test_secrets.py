"""
What is planted anywhere comes out nowhere: not in logs, errors, notes, XCom, rendered arguments or files.

A key, a public link's token, presigned links and payloads are planted wherever a server, a run or an argument can carry
them, in answers of every kind; logging is at DEBUG.
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
from airflow_langsmith.errors import LangSmithError
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


class Heard:
    """All that is told while something runs: by every logger at DEBUG, and by what it raises."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.DEBUG)
        for name in ("httpx", "httpcore", "httpcore.http11", "airflow_langsmith"):
            caplog.set_level(logging.DEBUG, logger=name)
        self.text = ""

    def listen(self, action: Callable[[], Any]) -> Any:
        """Run something, and keep what it tells; returns its result or the error."""
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
            self.text += "".join(list(traceback.TracebackException.from_exception(result).format()) + told(result))
        return result


def told(error: BaseException) -> list[str]:
    """List all that an error holds, with its causes and contexts, also those that no traceback shows."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen), repr(seen.args), repr(vars(seen)), repr(getattr(seen, "__notes__", ""))]
        if isinstance(seen, LangSmithError):
            texts.append(repr(pickle.dumps(seen)))
        seen = seen.__cause__ or seen.__context__
    return texts


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Heard:
    """What is told."""
    return Heard(caplog)


def find_shop() -> None:
    """Ask for a project by the default connection."""
    with LangSmithHook() as hook:
        hook.project_id("shop")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[LangSmithStandIn]:
    """A server with a key that is looked for, and a project."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.add_project("shop")
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", server.connection(max_retries=0, api_version="v2"))
        yield server


def changed(**fields: Any) -> bytes:
    """Write a page with one run, with some fields changed."""
    return json.dumps({"items": [ONE_RUN, ONE_RUN | fields], "next_cursor": None}).encode()


PAGES: dict[str, bytes] = {
    "a payload in place of JSON": EMAIL.encode(),
    "a page of HTML": f"<html><title>{EMAIL}</title>{KEY}".encode(),
    "cut short": changed()[:-20],
    "bytes that are none": b'{"items": [{"inputs": "' + EMAIL.encode() + b"\xff\x00",
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
def test_a_page_is_quoted_nowhere(shop: LangSmithStandIn, tmp_path: Path, run: Run, heard: Heard, page: str) -> None:
    """Whatever is wrong with a page, neither the log nor any error in the chain has a word of it."""
    shop.misbehave("status", status=200, body=PAGES[page], times=None)
    operator = LangSmithExportOperator(
        task_id="export", project="shop", destination=f"file://{tmp_path}", redact={"*": "drop"}, payloads="flag"
    )
    heard.listen(lambda: run(operator))
    assert "/runs/query" in heard.text
    for secret in (PAYLOAD, SIGNED, TOKEN, KEY):
        assert secret not in heard.text


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 503])
@pytest.mark.parametrize("place", ["json", "text", "html", "header", "list"])
def test_what_a_server_echoes_is_masked(
    shop: LangSmithStandIn, tmp_path: Path, run: Run, heard: Heard, status: int, place: str
) -> None:
    """A key, a public link and its token stay out of everything, however and where a server writes them."""
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
    where = f"file://{tmp_path}"
    for operator in (
        LangSmithExportOperator(task_id="export", project="shop", destination=where),
        LangSmithReadRunOperator(task_id="read", run_id=f"https://smith.langchain.com/public/{TOKEN}/r"),
    ):
        assert isinstance(heard.listen(partial(run, operator)), Exception)
        said = heard.text.lower()
        if isinstance(operator, LangSmithReadRunOperator):
            assert TOKEN not in said
            assert TOKEN.replace("-", "") not in said
        for secret in (KEY, PAYLOAD, f"/public/{TOKEN}"):
            assert secret.lower() not in said, (operator, secret)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_in_trouble_is_not_quoted(
    shop: LangSmithStandIn, tmp_path: Path, run: Run, heard: Heard, status: int
) -> None:
    """What a server says of an error of its own may be data, and is told nowhere."""
    for body in ({"detail": f"cannot sort {EMAIL}"}, f"cannot sort {EMAIL}"):
        shop.misbehave("status", status=status, body=body)
        operator = LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}")
        assert isinstance(heard.listen(partial(run, operator)), AirflowException)
        assert PAYLOAD not in heard.text


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
def test_what_is_no_answer_at_all_is_not_quoted(heard: Heard, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """Where HTTP itself is broken, and bytes of another answer come in its place, no error and no log has them."""

    class Broken(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connection = {"conn_type": "langsmith", "host": f"http://127.0.0.1:{server.server_address[1]}", "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection | {"extra": {"max_retries": 0}}))
        assert isinstance(heard.listen(find_shop), LangSmithError)
        server.shutdown()
    assert PAYLOAD not in heard.text


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("view", sorted(VIEWS))
@pytest.mark.parametrize("rule", ["drop", {"patterns": ["email"]}])
def test_what_is_redacted_is_in_no_byte_and_no_word(
    shop: LangSmithStandIn,
    tmp_path: Path,
    run: Run,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
    view: str,
    version: str,
    rule: Any,
) -> None:
    """Of every field that LangSmith lets a user write, nothing is in files, logs, XCom or the manifest."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", shop.connection(max_retries=0, api_version=version))
    text = {"inputs": {EMAIL: EMAIL}, "outputs": {"a": [EMAIL]}, "error": EMAIL, "tags": [EMAIL], "name": EMAIL}
    metadata = {"session_id": EMAIL, "ls_model_name": EMAIL, EMAIL: EMAIL}
    more = {"events": [{"name": EMAIL}], "serialized": {"id": [EMAIL]}, "extra": {"metadata": metadata, EMAIL: EMAIL}}
    root = shop.add_run(project="shop", start_time=START, end_time=START, **text, **more)
    for run_type in ("tool", "retriever"):
        shop.add_run(project="shop", start_time=START, parent_run_id=root, run_type=run_type, **text, **more)
    piece = {"value": EMAIL, "comment": EMAIL, "correction": {EMAIL: EMAIL}, "extra": {"x": EMAIL}}
    shop.add_feedback(root, key=EMAIL, score=1, created_at=START.isoformat(), **piece)
    names = [column.name for column in VIEWS[view].columns]
    operator = LangSmithExportOperator(
        task_id="export",
        project="shop",
        destination=f"file://{tmp_path}",
        view=view,
        columns=names,
        redact={"*": rule},
        format="jsonl",
        compression="none",
        flatten="*",
    )
    result = heard.listen(lambda: run(operator))
    assert result["rows"] >= 1
    landed = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for places in (heard.text, landed.decode(), repr(result)):
        assert PAYLOAD not in places


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 masks no rendered arguments")
def test_a_public_link_is_masked_among_the_rendered_arguments(heard: Heard) -> None:
    """Airflow shows the arguments of a task, and masks what it is told to, for mapped tasks and templates alike."""
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
def test_a_key_that_cannot_be_sent_is_refused_first(
    shop: LangSmithStandIn, heard: Heard, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """A key that is not printable is refused before anything is sent, and the refusal does not quote it."""
    key = f"planted{mark}key"
    connection = {"conn_type": "langsmith", "host": shop.url, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection))
    assert isinstance(heard.listen(find_shop), LangSmithError)
    assert "API key" in heard.text
    assert "planted" not in heard.text
    assert not shop.requests


def test_a_key_that_reaches_the_wire_is_not_quoted(shop: LangSmithStandIn, heard: Heard) -> None:
    """Also where nobody looked at the key before, the protocol's refusal of it is told without it."""
    with LangSmithClient(Settings(api_url=shop.url, api_key="planted\x00key", max_retries=0)) as client:
        assert isinstance(heard.listen(lambda: client.project("shop")), LangSmithError)
    assert "planted" not in heard.text


@pytest.mark.parametrize("where", ["host", "workspace_id", "api_version", "timeout", "ui_host", "verify"])
def test_a_key_in_a_wrong_field_is_not_quoted(
    shop: LangSmithStandIn, heard: Heard, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A key that somebody put into another field of the connection is not told by the error about that field."""
    connection: dict[str, Any] = {"conn_type": "langsmith", "host": shop.url, "password": "k", "extra": {"timeout": 1}}
    if where == "host":
        connection["host"] = KEY
    else:
        connection["extra"] = {where: KEY, "max_retries": 0}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(connection))
    heard.listen(find_shop)
    assert KEY not in heard.text


@pytest.mark.parametrize("sensor", [LangSmithFeedbackSensor, LangSmithSettledSensor])
def test_a_sensor_tells_no_feedback(shop: LangSmithStandIn, run: Run, heard: Heard, sensor: Any) -> None:
    """Verdicts and events have counts and figures, and no comment, value or payload."""
    started = shop.add_run(project="shop", start_time=START, inputs={"q": EMAIL}, error=EMAIL)
    for value in (EMAIL, {"a": EMAIL}, "good"):
        shop.add_feedback(started, key="tone", value=value, comment=EMAIL, correction={"x": EMAIL})
    asked = {"condition": "share(tone, 'bad') > 0.5"} if sensor is LangSmithFeedbackSensor else {"quiet_for": "1d"}
    looking = sensor(task_id="look", project="shop", timeout=0.0, mode="poke", poke_interval=0.01, **asked)
    assert isinstance(heard.listen(lambda: run(looking)), Exception)
    assert "tone" in heard.text or "pending" in heard.text
    assert PAYLOAD not in heard.text


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


@given(SECRET, st.text(max_size=10), st.text(max_size=10), st.sampled_from(["as it is", "JSON", "upper", "twice"]))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_no_secret_stays_in_what_a_server_says(secret: str, before: str, after: str, way: str) -> None:
    """Whatever a key looks like and whatever is around it, it is masked in the ways that servers write texts."""
    said = {
        "as it is": f"{before}{secret}{after}",
        "JSON": json.dumps({"detail": f"{before}{secret}{after}"}),
        "upper": f"{before}{secret.upper()}{after}",
        "twice": f"{secret}{before}{secret}",
    }[way]
    clean = mask_values(said.encode(), secret).decode()
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
        ('eq(name, "what?") at s3://lake@bucket/key', 'eq(name, "what?") at s3://lake@bucket/key'),
    ],
)
def test_what_looks_like_a_secret_is_masked_in_every_error(text: str, shown: str) -> None:
    """Keys, links and credentials are masked by their look, in the message, the arguments and what is pickled."""
    error = LangSmithError(text)
    assert mask_secrets(text) == error.message == error.args[0] == shown
    assert pickle.loads(pickle.dumps(error)).message == shown
