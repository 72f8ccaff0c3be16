"""The wire: how much of an answer is taken, where it goes, who gets the key, and what is logged of addresses."""

from __future__ import annotations

import asyncio
import gzip
import logging
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.api import Settings
from airflow_langsmith.api.errors import ConfigurationError, LargePayloadError, TransportError
from airflow_langsmith.api.flow import Answer, Request, Response
from airflow_langsmith.api.transport import AsyncTransport, Transport
from airflow_langsmith.testing import LangSmithStandIn

CAP = 1_000_000

Send = Callable[..., Answer]


def blocking(settings: Settings, request: Request) -> Answer:
    """Ask, blocking."""
    transport = Transport(settings)
    try:
        return transport.send(request)
    finally:
        transport.close()


def awaiting(settings: Settings, request: Request) -> Answer:
    """Ask without blocking."""

    async def send() -> Answer:
        transport = AsyncTransport(settings)
        try:
            return await transport.send(request)
        finally:
            await transport.close()

    return asyncio.run(send())


@pytest.fixture(params=[blocking, awaiting])
def send(request: pytest.FixtureRequest) -> Send:
    """Ask one question, of a server that is the API's own host unless told otherwise."""

    def ask(url: str, api_url: str = "http://127.0.0.1:1", **given: Any) -> Answer:
        answer: Answer = request.param(Settings(api_url=api_url, api_key="the-key"), Request("GET", url, **given))
        return answer

    return ask


def test_a_download_stops_once_it_is_too_large(send: Send, storage: Any, tmp_path: Path) -> None:
    """A body over its cap is an error, and what is beyond is never read: the server is hung up on."""
    link = storage.put("/endless", None)
    for into in (None, tmp_path / "file"):
        error = send(link, shown="blob storage", about="a thing", largest=CAP, into=into)
        assert isinstance(error, LargePayloadError)
        assert "GET blob storage [a thing] is over 0.954 MB" in str(error)
        assert not error.retriable
        assert storage.hung_up.acquire(timeout=10)
    assert list(tmp_path.iterdir()) == []
    assert storage.sent < 40 * CAP  # what the sockets' buffers took


def test_a_cap_is_to_the_byte(send: Send, storage: Any) -> None:
    """A body of exactly the cap is taken whole; one byte more is too much."""
    whole = send(storage.put("/whole", b"x" * CAP), largest=CAP)
    assert isinstance(whole, Response)
    assert whole.body == b"x" * CAP
    assert isinstance(send(storage.put("/more", b"x" * (CAP + 1)), largest=CAP), LargePayloadError)
    assert isinstance(send(storage.put("/more", b"x" * (CAP + 1))), Response)


def test_a_cap_is_on_what_comes_out_of_compression(send: Send, storage: Any, tmp_path: Path) -> None:
    """A compressed body arrives decompressed, in memory and in a file, and its cap is on that."""
    small = gzip.compress(b"x" * CAP)
    link = storage.put("/small", small, content_encoding="gzip")
    in_memory, in_file = send(link, largest=CAP), send(link, largest=CAP, into=tmp_path / "file")
    assert isinstance(in_memory, Response)
    assert isinstance(in_file, Response)
    assert len(small) < CAP / 100
    assert in_memory.body == (tmp_path / "file").read_bytes() == b"x" * CAP
    assert in_file.body == b""
    bomb = storage.put("/bomb", gzip.compress(b"x" * (CAP + 1)), content_encoding="gzip")
    assert isinstance(send(bomb, largest=CAP), LargePayloadError)


def test_a_file_is_there_only_if_it_is_whole(send: Send, langsmith: LangSmithStandIn, tmp_path: Path) -> None:
    """What breaks off on its way into a file leaves none, nor does an answer that is an error."""
    run = langsmith.add_run(project="shop", start_time="2026-03-01T00:00:00Z", inputs={"q": "x" * 5000})
    langsmith.offload(run, "inputs")
    path, file = f"/storage/{run}/inputs?signed=x", tmp_path / "file"
    langsmith.misbehave("truncate", path="/inputs")
    assert isinstance(send(path, langsmith.url, into=file), TransportError)
    assert not file.exists()
    langsmith.misbehave("status", status=404, path="/inputs", body="gone")
    gone = send(path, langsmith.url, into=file)
    assert isinstance(gone, Response)
    assert (gone.status, gone.body) == (404, b"gone")
    assert not file.exists()
    assert isinstance(send(path, langsmith.url, into=file), Response)
    assert file.read_bytes() == b'{"q":"' + b"x" * 5000 + b'"}'


def test_a_file_takes_no_memory(send: Send, storage: Any, tmp_path: Path) -> None:
    """A body on its way into a file is never held, however large it is."""
    link = storage.put("/endless", None)
    tracemalloc.start()
    try:
        assert isinstance(send(link, largest=50 * CAP, into=tmp_path / "file"), LargePayloadError)
        assert tracemalloc.get_traced_memory()[1] < 10 * CAP
    finally:
        tracemalloc.stop()


def test_the_key_goes_to_the_api_s_own_host_alone(send: Send, langsmith: LangSmithStandIn, storage: Any) -> None:
    """However an address is written, the key goes to the host of the API, by its scheme and port, and nowhere else."""
    send(storage.put("/blob", b"1"), langsmith.url)
    send("//" + storage.put("/other", b"1").partition("://")[2], langsmith.url)
    send(langsmith.url.replace("127.0.0.1", "localhost") + "/info", langsmith.url)
    for path in ("/info", langsmith.url + "/info"):
        send(path, langsmith.url)
    keys = ["x-api-key" in request.headers for request in langsmith.requests if request.path.endswith("/info")]
    assert [path for path, headers in storage.asked if "x-api-key" in headers] == []
    assert storage.asked
    assert keys[-2:] == [True, True]
    assert not any(keys[:-2])


def test_a_secret_address_is_in_no_log_and_no_error(send: Send, storage: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An address that is a secret is not logged, by nobody, and in no error; others are, as httpx does."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    link = storage.put("/blob", b"1")
    send(link, shown="blob storage")
    assert "/blob" not in caplog.text
    assert "secret" not in caplog.text
    send(link)
    assert link in caplog.text
    for broken in ("http://127.0.0.1:secret/", "http://\tsecret"):
        error = send(broken, shown="blob storage")
        assert isinstance(error, ConfigurationError)
        assert "secret" not in str(error)
