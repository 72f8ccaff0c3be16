"""
The network. The only module that imports httpx: Airflow is moving to a fork of it, and the swap must be one file.

Neither httpx nor this module logs headers. httpx logs addresses, except those that are secrets.
"""

from __future__ import annotations

import logging
import os
import re
from asyncio import AbstractEventLoop, Semaphore, get_running_loop, timeout_at, to_thread
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Lock
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import httpx

from airflow_langsmith import __version__
from airflow_langsmith.api.bodies import ACCEPT_ENCODING, Body, DecompressionError
from airflow_langsmith.api.flow import Answer, Request, Response
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.statuses import PROXY_LOGIN
from airflow_langsmith.errors import (
    ConfigurationError,
    LangSmithError,
    LargePayloadError,
    ReadTimeoutError,
    TransportError,
)
from airflow_langsmith.masking import mask_values

CONNECT_TIMEOUT_SECONDS = 10.0  # as in the official SDK
MIN_BYTES_PER_SECOND = 32 * 1024  # an answer that comes more slowly, after `timeout` seconds, is given up
MAX_CONCURRENT_REQUESTS = 16  # of an event loop to a server; with answers in half a second, v2's budget


class Transport:
    """Sends a request and blocks until its answer; errors are returned, not raised."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = _open(httpx.Client, settings, event_hooks={"request": [self._trace]})
        self._url = _urls(self._http, settings)
        self._sockets: WeakSet[socket] = WeakSet()
        self._lock = Lock()

    def send(self, request: Request) -> Answer:
        """Send a request once."""
        deadline = Deadline(self._settings.timeout)
        try:
            built = _build(self._http, self._url(request.path), request, self._settings)
            with _set(_REQUEST, request), _set(_DEADLINE, deadline):
                answer = self._http.send(built, stream=True)
                with closing(answer), _body(request, answer) as body:
                    for piece in answer.iter_raw():
                        if body.add(piece):
                            body.decompress()
                        if body.is_enough:
                            break
                    return _response(answer, body, body.finish(), request, self._settings)
        except _FAILURES as error:
            return _failure(error, request)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def interrupt(self) -> None:
        """Break the requests of other threads, as the network may: nothing else reaches a thread that reads."""
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    socket.shutdown(connection, SHUT_RDWR)  # the plain one: TLS would wait for the other side

    def _trace(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._add_connection}

    def _add_connection(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info["return_value"]
            stream.read = partial(_read_in_time, stream.read)  # httpx's own timeout begins anew with each byte
            with self._lock:
                self._sockets.add(stream.get_extra_info("socket"))


class AsyncTransport:
    """
    The same without blocking; threads decompress.

    Transports of one event loop with the same settings share connections, because a triggerer has many that wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Made here, where no loop waits for it. A transport that finds shared connections does not use its own.
        self._http = _open(httpx.AsyncClient, settings)
        self._shared: _SharedConnections | None = None

    @property
    def turns(self) -> Semaphore:
        """The turns to send: a request takes a millisecond of the loop, so there are few at a time."""
        return self._connections.turns

    async def send(self, request: Request) -> Answer:
        """Send a request once, in its turn."""
        http, url = self._connections.http, self._connections.url
        deadline = Deadline(self._settings.timeout)
        try:
            built = _build(http, url(request.path), request, self._settings)
            async with timeout_at(deadline.at) as limit:
                with _set(_REQUEST, request):
                    answer = await http.send(built, stream=True)
                async with aclosing(answer):
                    with _body(request, answer) as body:
                        async for piece in answer.aiter_raw():
                            deadline.extend(len(piece))
                            limit.reschedule(deadline.at)
                            if body.add(piece):
                                await to_thread(body.decompress)
                            if body.is_enough:
                                break
                        return _response(answer, body, await to_thread(body.finish), request, self._settings)
        except TimeoutError:
            return _failure(httpx.ReadTimeout(deadline.reason, request=built), request)
        except _FAILURES as error:
            return _failure(error, request)

    async def close(self) -> None:
        """Close the connections, unless other transports use them."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.users -= 1
            if not shared.users:
                del _SHARED[get_running_loop()][self._settings]
                await shared.http.aclose()

    @property
    def _connections(self) -> _SharedConnections:
        if self._shared is None:
            of_loop = _SHARED.setdefault(get_running_loop(), {})
            if self._settings not in of_loop:
                of_loop[self._settings] = _SharedConnections(self._http, _urls(self._http, self._settings))
            self._shared = of_loop[self._settings]
            self._shared.users += 1
        return self._shared


@dataclass
class _SharedConnections:
    http: httpx.AsyncClient
    url: Callable[[str], httpx.URL]
    turns: Semaphore = field(default_factory=lambda: Semaphore(MAX_CONCURRENT_REQUESTS))
    users: int = 0


_SHARED: WeakKeyDictionary[AbstractEventLoop, dict[Settings, _SharedConnections]] = WeakKeyDictionary()


class Deadline:
    """
    When an answer has to be whole: some seconds after its request, and later by a second for each 32 KB of it.

    With 120 s, 1 KB in two minutes is too late, and 50 MB in ten minutes is in time. A timeout of each read would begin
    anew with every byte, and an answer that drips would never end.
    """

    def __init__(self, seconds: float) -> None:
        self._began = monotonic()
        self.at = self._began + seconds

    @property
    def reason(self) -> str:
        """The reason of the error, once it has passed."""
        return f"it was not whole after {monotonic() - self._began:.0f} s"

    def extend(self, received_bytes: int) -> None:
        """Allow more time because bytes came."""
        self.at += received_bytes / MIN_BYTES_PER_SECOND


def _body(request: Request, answer: httpx.Response) -> Body:
    return Body(request, answer.headers.get("content-encoding", ""), is_success=answer.is_success)


def _response(answer: httpx.Response, body: Body, content: bytes, request: Request, settings: Settings) -> Response:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in answer.headers.raw}
    if not answer.is_success:  # a server may echo a secret, which must not get into our error
        content = mask_values(content, settings.api_key, request.secret)
    return Response(answer.status_code, headers, content, body.file_bytes)


V = TypeVar("V")

_DEADLINE: ContextVar[Deadline] = ContextVar("_DEADLINE")  # of the answer that this thread reads
_REQUEST: ContextVar[Request | None] = ContextVar("_REQUEST", default=None)  # its secrets stay out of the logs below


@contextmanager
def _set(variable: ContextVar[V], value: V) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _read_in_time(read: Callable[..., bytes], max_bytes: int, timeout: float | None = None) -> bytes:
    deadline = _DEADLINE.get()
    left = deadline.at - monotonic()
    if left <= 0:
        raise httpx.ReadTimeout(deadline.reason)
    received = read(max_bytes, left if timeout is None else min(timeout, left))
    deadline.extend(len(received))
    return received


def _without_secrets(record: logging.LogRecord) -> bool:
    """Remove the server's words from httpx's line about an answer, and return whether it may be logged."""
    request = _REQUEST.get()
    if request is None:
        return True
    if isinstance(record.args, tuple) and record.args:
        *known, status, _ = record.args  # the last one is the server's reason phrase
        record.args = (*known, status, httpx.codes.get_reason_phrase(status) if isinstance(status, int) else "")
    return not request.display_path


logging.getLogger("httpx").addFilter(_without_secrets)
# At DEBUG httpcore logs the headers of an answer, which may hold links, and errors, which quote what came.
logging.getLogger("httpcore.http11").addFilter(
    lambda record: (
        _REQUEST.get() is None or not any(part in record.getMessage() for part in ("response_headers", ".failed"))
    )
)


C = TypeVar("C", httpx.Client, httpx.AsyncClient)


def _open(kind: type[C], settings: Settings, **options: Any) -> C:
    """Open a client of httpx; it reads the worker's proxy variables."""
    try:
        base_url = httpx.URL(settings.api_url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(
            f"The connection's host is no address: {settings.api_url!r}. Correct it: {error}."
        ) from error
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": ACCEPT_ENCODING,
        "User-Agent": f"airflow-provider-langsmith/{__version__}",
    }
    timeout = httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT_SECONDS, settings.timeout))
    verify = _shared_trust(settings.verify)
    try:
        return kind(base_url=base_url, headers=headers, timeout=timeout, verify=verify, **options)
    except ImportError:
        reason = "a SOCKS proxy needs one more package. Install it: pip install 'httpx[socks]', or use an http:// proxy"
    except (ValueError, httpx.InvalidURL):
        reason = "one names no proxy. Write them like http://proxy.example.com:3128"
    # Without the cause, which may quote the password of a proxy.
    raise ConfigurationError(f"The worker cannot use its {_proxy_variables()}: {reason}.") from None


def _shared_trust(verify: bool | str) -> Any:
    """Read a CA bundle once in a process, and again if its file changes: each time takes 20 ms and a megabyte."""
    path = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE", "")
    try:
        file = Path(path).stat()
        version = file.st_mtime_ns, file.st_size
    except (OSError, ValueError):  # there is no such file, which is an error of `_trust`
        version = None
    return _trust(verify, path, os.environ.get("SSL_CERT_DIR", ""), version)


@lru_cache(maxsize=16)
def _trust(verify: bool | str, *_: object) -> Any:
    if verify is False:
        return False
    import ssl  # noqa: PLC0415  # httpx, too, loads it for a client only

    try:
        return httpx.create_ssl_context() if verify is True else ssl.create_default_context(cafile=verify)
    except (OSError, ValueError) as error:
        where, path = ("worker's SSL_CERT_FILE", "") if verify is True else ("connection's extra 'verify'", verify)
        raise ConfigurationError(
            f"The {where} names no readable CA bundle{f': {path[:60]!r}' if path else ''}. Give the path of a file on "
            "the worker that holds PEM certificates (-----BEGIN CERTIFICATE-----)."
        ) from error


def _proxy_variables() -> str:
    """Return the names of the environment's variables about proxies. Their values may hold passwords."""
    known = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    return ", ".join(name for name in os.environ if name.upper() in known and os.environ[name])


def _urls(http: httpx.Client | httpx.AsyncClient, settings: Settings) -> Callable[[str], httpx.URL]:
    """Return a function from a path to its whole address; it caches, because httpx takes long to parse one."""
    return lru_cache(maxsize=32)(lambda path: http.build_request("GET", settings.address(path)).url)


def _build(
    http: httpx.Client | httpx.AsyncClient, url: httpx.URL, request: Request, settings: Settings
) -> httpx.Request:
    """Build a request; the key goes to the API's own host and to no other, whatever the address."""
    params = {name: value for name, value in request.params.items() if value not in (None, [])}
    built = http.build_request(request.method, url, params=params or None, json=request.json)
    if request.needs_key and _host(built.url) == _host(http.base_url):
        built.headers["X-API-Key"] = settings.api_key
        if settings.workspace_id:
            built.headers["X-Tenant-Id"] = settings.workspace_id
    return built


def _host(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
_QUOTED = re.compile(r"(?::| b['\"]).*")  # the end of a protocol error: bytes that came or were sent
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED\] certificate verify failed: (.*?)\.?(?: \(_ssl|$)")

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, UnicodeError, LargePayloadError, DecompressionError)
_NOT_SENT = (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError)


def _failure(error: Exception, request: Request) -> LangSmithError:
    if isinstance(error, LangSmithError):
        return error
    if isinstance(error, _NOT_SENT):  # its text may quote an address or a header
        return ConfigurationError(
            f"{request.description} cannot be sent ({type(error).__name__}). Check the connection's host, its API key, "
            "and the texts of the query."
        )
    reason = _ERRNO.sub("", " ".join(str(error).split())) or type(error).__name__
    if isinstance(error, httpx.ProtocolError):
        reason = _QUOTED.sub("", reason)
    where = f"\nRequest: {request.description}."
    sent = getattr(error, "_request", None)
    host = str(sent.url.host) if sent is not None else "the server"  # no secret, even if the rest of the address is one
    if certificate := _CERTIFICATE.search(reason):
        return ConfigurationError(
            f"The certificate of {host} is not trusted: {certificate[1]}. If a CA of your own signed it, set 'verify' "
            f"in the connection's extra to the path of that CA's file. Else correct the connection's host.{where}"
        )
    if isinstance(error, httpx.ProxyError) and reason.startswith("407"):
        return ConfigurationError(f"The worker's proxy refuses the way to {host}: {reason}. {PROXY_LOGIN}{where}")
    kind = ReadTimeoutError if isinstance(error, httpx.ReadTimeout) else TransportError
    variables = _proxy_variables()
    way = f"the worker's way to it, which may be a proxy ({variables})" if variables else "the worker's way to it"
    return kind(
        f"No whole answer from {host}: {reason}. A retry may help; if it does not, check the connection's host and "
        f"{way}.{where}"
    )
