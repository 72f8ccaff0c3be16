"""The network: how much of an answer is taken, where it goes, who gets the key, and what is logged of addresses."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import re
import ssl
import sys
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_langsmith.api.bodies import MAX_ERROR_BYTES
from airflow_langsmith.api.flow import MAX_ANSWER_BYTES, Answer, Request, Response
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.transport import MIN_BYTES_PER_SECOND, AsyncTransport, Deadline, Transport
from airflow_langsmith.errors import (
    ConfigurationError,
    LargePayloadError,
    ReadTimeoutError,
    RedirectError,
    TransportError,
)
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.wording import says, words

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

    def ask(
        url: str, api_url: str = "http://127.0.0.1:1", timeout: float = 120.0, into: Path | None = None, **options: Any
    ) -> Answer:
        settings = Settings(api_url=api_url, api_key="the-key", timeout=timeout)

        def open_file() -> BinaryIO:
            assert into is not None
            return into.open("wb")

        answer: Answer = request.param(settings, Request("GET", url, open_file=open_file if into else None, **options))
        return answer

    return ask


def is_empty(file: Path) -> bool:
    """Whether nothing of a body is left on the disk."""
    return not file.exists() or file.stat().st_size == 0


def test_a_download_stops_once_it_is_too_large(send: Send, storage: Any, tmp_path: Path) -> None:
    """A body over its cap is an error, and what is beyond is never read: the server is hung up on."""
    link = storage.put("/endless", None)
    for into in (None, tmp_path / "file"):
        error = send(link, display_path="blob storage", purpose="a thing", max_bytes=CAP, into=into)
        assert isinstance(error, LargePayloadError)
        assert "GET blob storage [a thing] is over 0.954 MB" in str(error)
        assert not error.retriable
        assert storage.hung_up.acquire(timeout=10)
    assert is_empty(tmp_path / "file")
    assert storage.sent < 40 * CAP  # what the sockets' buffers took


def test_a_cap_is_to_the_byte(send: Send, storage: Any) -> None:
    """A body of exactly the cap is taken whole; one byte more is too much."""
    whole = send(storage.put("/whole", b"x" * CAP), max_bytes=CAP)
    assert isinstance(whole, Response)
    assert whole.body == b"x" * CAP
    assert isinstance(send(storage.put("/more", b"x" * (CAP + 1)), max_bytes=CAP), LargePayloadError)
    assert isinstance(send(storage.put("/more", b"x" * (CAP + 1))), Response)


def test_every_answer_has_a_cap(send: Send, storage: Any) -> None:
    """Also an answer that nobody thought to be large is not taken without end."""
    assert isinstance(send(storage.put("/more", b"x" * (MAX_ANSWER_BYTES + 1))), LargePayloadError)
    assert isinstance(send(storage.put("/endless", None)), LargePayloadError)
    assert storage.hung_up.acquire(timeout=10)


@pytest.mark.parametrize("body", [b"x" * (2 * MAX_ERROR_BYTES), gzip.compress(b"x" * (2 * MAX_ERROR_BYTES)), None])
def test_the_beginning_of_an_error_is_enough(send: Send, storage: Any, body: bytes | None) -> None:
    """An answer that is no success stays what it is, however large: a 503 of a gigabyte is still a 503."""
    packing = {"content_encoding": "gzip"} if body and body[0] != ord("x") else {}
    answer = send(storage.put("/error", body, 503, **packing))
    assert isinstance(answer, Response)
    assert (answer.status, len(answer.body)) == (503, MAX_ERROR_BYTES)


def zstd(body: bytes) -> bytes:
    """Compress as servers do that do not know yet how much is to come."""
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    return bytes(packer.compress(body) + packer.flush())


PACKINGS = pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("zstd", zstandard.compress)]
)


@PACKINGS
def test_a_cap_is_on_what_comes_out_of_compression(
    send: Send, storage: Any, tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """A compressed body arrives decompressed, in memory and in a file, and its cap is on that, to the byte."""
    small = pack(b"x" * CAP)
    link = storage.put("/small", small, content_encoding=encoding)
    in_memory, in_file = send(link, max_bytes=CAP), send(link, max_bytes=CAP, into=tmp_path / "file")
    assert isinstance(in_memory, Response)
    assert isinstance(in_file, Response)
    assert len(small) < CAP / 100
    assert in_memory.body == (tmp_path / "file").read_bytes() == b"x" * CAP
    assert in_file.body == b""
    larger = storage.put("/larger", pack(b"x" * (CAP + 1)), content_encoding=encoding)
    assert isinstance(send(larger, max_bytes=CAP), LargePayloadError)
    assert isinstance(send(larger, max_bytes=CAP, into=tmp_path / "other"), LargePayloadError)
    assert is_empty(tmp_path / "other")


@PACKINGS
@pytest.mark.parametrize("in_file", [False, True])
def test_what_unpacks_without_end_takes_no_memory(
    send: Send, storage: Any, tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes], in_file: bool
) -> None:
    """Of a body that unpacks to a thousand times its size no more is unpacked than what it may have, about."""
    link = storage.put("/bomb", pack(bytes(400 * CAP)), content_encoding=encoding)
    tracemalloc.start()
    try:
        error = send(link, max_bytes=CAP, into=tmp_path / "file" if in_file else None)
        assert isinstance(error, LargePayloadError)
        assert tracemalloc.get_traced_memory()[1] < 80 * CAP
    finally:
        tracemalloc.stop()


@PACKINGS
def test_a_compressed_body_is_whole_or_an_error(
    send: Send, storage: Any, tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """Members and frames may follow one another; a body that is cut, broken or followed by something else fails."""
    member, other = pack(b"one" * 1000), pack(b"other" * 1000)

    def sent(body: bytes) -> Answer:
        link = storage.put("/body", body, content_encoding=encoding)
        answers = [send(link), send(link, into=tmp_path / "file")]
        assert isinstance(answers[0], Response) == isinstance(answers[1], Response)
        assert isinstance(answers[1], Response) or is_empty(tmp_path / "file")
        return answers[0]

    for body, text in {member: b"one" * 1000, member + other: b"one" * 1000 + b"other" * 1000, b"": b""}.items():
        whole = sent(body)
        assert isinstance(whole, Response)
        assert whole.body == text
    broken = bytearray(member)
    broken[len(member) // 2] ^= 0xFF
    for body in (
        member[:-1],
        member[:5],
        member + other[:-1],
        member + b"x",
        member + b"{}{}{}{}",
        b"plain {}",
        bytes(broken),
    ):
        if encoding == "zstd" and body == bytes(broken):
            continue  # its checksum is optional
        error = sent(body)
        assert isinstance(error, TransportError), body
        assert error.retriable


def test_a_packing_that_was_not_asked_for_is_an_error(send: Send, storage: Any) -> None:
    """A body packed in an unknown way never passes for what is in it."""
    error = send(storage.put("/odd", zlib.compress(b"{}"), content_encoding="deflate"))
    assert isinstance(error, TransportError)
    assert "it is not compressed as zstd, gzip, which the request accepts" in " ".join(str(error).split())


def test_an_answer_that_drips_comes_to_an_end(send: Send, langsmith: LangSmithStandIn) -> None:
    """An answer is late though some of it comes again and again; `timeout` is for the whole, head and body."""
    langsmith.misbehave("drip", path="/info", seconds=0.05, times=None)
    began = time.monotonic()
    error = send("/info", langsmith.url, timeout=0.5, purpose="its version")
    assert isinstance(error, ReadTimeoutError)
    assert time.monotonic() - began < 5  # the answer would take a quarter of a minute
    assert "No whole answer from 127.0.0.1: " in str(error)
    assert "GET /info [its version]" in str(error)


def test_an_answer_that_comes_slowly_comes() -> None:
    """An answer may take longer than `timeout` while enough of it comes: large pages pass slow lines."""
    deadline = Deadline(1.0)
    deadline.extend(60 * MIN_BYTES_PER_SECOND)
    assert 59 < deadline.at - time.monotonic() <= 61
    deadline.extend(1)
    assert deadline.at - time.monotonic() < 61.1


def test_a_file_has_a_whole_body_or_nothing(send: Send, langsmith: LangSmithStandIn, tmp_path: Path) -> None:
    """A body that breaks off on its way into a file leaves it empty, and an answer that is an error is not in it."""
    run = langsmith.add_run(project="shop", start_time="2026-03-01T00:00:00Z", inputs={"q": "x" * 5000})
    langsmith.offload(run, "inputs")
    path, file = f"/storage/{run}/inputs?signed=x", tmp_path / "file"
    langsmith.misbehave("truncate", path="/inputs")
    assert isinstance(send(path, langsmith.url, into=file), TransportError)
    assert is_empty(file)
    langsmith.misbehave("status", status=404, path="/inputs", body="gone")
    gone = send(path, langsmith.url, into=file)
    assert isinstance(gone, Response)
    assert (gone.status, gone.body) == (404, b"gone")
    assert is_empty(file)
    assert isinstance(send(path, langsmith.url, into=file), Response)
    assert file.read_bytes() == b'{"q":"' + b"x" * 5000 + b'"}'


def test_a_file_takes_no_memory(send: Send, storage: Any, tmp_path: Path) -> None:
    """A body on its way into a file is never held, however large it is."""
    link = storage.put("/endless", None)
    tracemalloc.start()
    try:
        assert isinstance(send(link, max_bytes=50 * CAP, into=tmp_path / "file"), LargePayloadError)
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
    assert [path for path, headers in storage.requests if "x-api-key" in headers] == []
    assert storage.requests
    assert keys[-2:] == [True, True]
    assert not any(keys[:-2])


def test_a_secret_address_is_in_no_log_and_no_error(send: Send, storage: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An address that is a secret is not logged, by nobody, and in no error; others are, as httpx does."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    link = storage.put("/blob", b"1")
    send(link, display_path="blob storage")
    assert "/blob" not in caplog.text
    assert "secret" not in caplog.text
    send(link)
    assert link in caplog.text
    for broken in ("http://127.0.0.1:secret/", "http://\tsecret"):
        error = send(broken, display_path="blob storage")
        assert isinstance(error, ConfigurationError)
        assert "secret" not in str(error)


@pytest.fixture
def private_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server whose certificate no public CA has signed, and the file of the CA that has."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "ca.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    whole = tmp_path / "whole.pem"
    no_password = serialization.NoEncryption()
    whole.write_bytes(
        pem.read_bytes() + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(whole)
    with serving(Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield f"localhost:{server.server_port}", pem


class Refusing(BaseHTTPRequestHandler):
    """Asks everybody for a login."""

    def do_CONNECT(self) -> None:
        """Refuse to be a proxy."""
        self.send_response(407)
        self.end_headers()

    def do_GET(self) -> None:
        """Refuse to answer."""
        self.do_CONNECT()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[ThreadingHTTPServer]:
    """Serve until the end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of the environment."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_proxy")
def test_a_private_ca_is_named_with_its_cure(private_server: tuple[str, Path]) -> None:
    """A certificate that is not trusted, or of another host, is the user's to cure, and `verify` is the cure."""
    place, pem = private_server
    for send in (blocking, awaiting):
        for host, verify in ((place, True), (place.replace("localhost", "127.0.0.1"), str(pem))):
            error = send(Settings(api_url=f"https://{host}", api_key="k", verify=verify), Request("GET", "/x"))
            assert isinstance(error, ConfigurationError)
            assert re.match(r"The certificate of (localhost|127.0.0.1) is not trusted: ", str(error))
            assert "set 'verify' in the connection's extra" in words(error)
        trusting = Settings(api_url=f"https://{place}", api_key="k", verify=str(pem))
        assert isinstance(send(trusting, Request("GET", "/x")), Response)


@pytest.mark.parametrize("written", [None, "", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_a_ca_bundle_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None) -> None:
    """A file of CAs that is a directory or holds none is named by what says so: the connection or the environment."""
    bundle = tmp_path
    if written is not None:
        bundle = tmp_path / "ca.pem"
        bundle.write_text(written)
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        with pytest.raises(ConfigurationError, match=says("the worker's SSL_CERT_FILE names no readable CA bundle")):
            Transport(Settings(api_url="https://x.example.com", api_key="k"))
    for path in (str(bundle), str(tmp_path / "gone"), "a\0b", "x" * 5000):
        with pytest.raises(ConfigurationError, match=says("'verify' names no readable CA bundle: ")):
            AsyncTransport(Settings(api_url="https://x.example.com", api_key="k", verify=path))


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        ("HTTPS_PROXY", "socks5://me:hunter2@127.0.0.1:1", "pip install 'httpx[socks]'"),
        ("ALL_PROXY", "socks5://me:hunter2@127.0.0.1:1", "pip install 'httpx[socks]'"),
        ("https_proxy", "socks4://me:hunter2@127.0.0.1:1", "Write them like http://"),
        ("HTTP_PROXY", "ftp://me:hunter2@127.0.0.1:1", "Write them like http://"),
        ("ALL_PROXY", "http://me:hunter2@[::1", "Write them like http://"),
        ("NO_PROXY", "http://me:hunter2@[::1", "Write them like http://"),
        ("HTTPS_PROXY", "\x01hunter2", "Write them like http://"),
    ],
)
def test_a_proxy_variable_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, cure: str
) -> None:
    """A proxy variable that httpx does not take is named, with its cure, and its password is not."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    for kind in (Transport, AsyncTransport):
        with pytest.raises(ConfigurationError, match=f"its {variable}") as caught:
            kind(Settings(api_url="https://x.example.com", api_key="k"))
        assert cure in words(caught.value)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_that_asks_for_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 407 is the user's to cure, whether the proxy answers in the server's place or refuses the way to it."""
    with serving(Refusing) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        for send in (blocking, awaiting):
            error = send(Settings(api_url="https://langsmith.example.com", api_key="k"), Request("GET", "/x"))
            assert isinstance(error, ConfigurationError)
            assert "Write them into the worker's HTTPS_PROXY" in words(error)
    error = blocking(Settings(api_url="https://langsmith.example.com", api_key="k"), Request("GET", "/x"))
    assert isinstance(error, TransportError)
    assert "may be a proxy (HTTPS_PROXY)" in words(error)


def test_a_redirect_is_not_followed(langsmith: LangSmithStandIn, storage: Any, client_of: ClientOf) -> None:
    """Wherever a redirect leads, nobody goes there, so no key does; the error names the server, not the address."""
    for status in (301, 302, 303, 307, 308):
        link = storage.put("/login", b"{}")
        langsmith.misbehave("status", status=status, path="/sessions", headers={"Location": link})
        with pytest.raises(RedirectError, match=says("it leads to http://127.0.0.1")) as caught:
            client_of(langsmith).project("shop")
        assert "secret" not in str(caught.value)
    assert storage.requests == []
