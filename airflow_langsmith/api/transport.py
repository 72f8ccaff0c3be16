"""
The wire. The only module that imports httpx: Airflow is moving to a fork of it, and the swap must be one file.

httpx never logs headers, and nothing here does. It does log addresses, but for those that are secrets.
"""

from __future__ import annotations

import logging
import os
import re
from asyncio import AbstractEventLoop, Semaphore, get_running_loop, timeout_at, to_thread
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import httpx

from airflow_langsmith import __version__
from airflow_langsmith.api.bodies import Body
from airflow_langsmith.api.deadlines import Deadline
from airflow_langsmith.api.encodings import ACCEPT_ENCODING, DecompressionError
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

CONNECT_TIMEOUT = 10.0  # seconds, as the official SDK waits
MAX_CONCURRENT_REQUESTS = 16  # of an event loop to a server; with answers in half a second, v2's budget


class Transport:
    """Sends a request and blocks until its answer; whatever goes wrong is returned, not raised."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = _opened(httpx.Client, settings, event_hooks={"request": [self._watch]})
        self._url = _urls(self._http, settings)
        self._sockets: WeakSet[socket] = WeakSet()
        self._lock = Lock()

    def send(self, request: Request) -> Answer:
        """Ask once."""
        deadline = Deadline(self._settings.timeout)
        try:
            asked = _build(self._http, self._url(request.path), request, self._settings)
            with _inside(_ASKED, request), _inside(_DEADLINE, deadline):
                answer = self._http.send(asked, stream=True)
                with closing(answer), _body(request, answer) as body:
                    for piece in answer.iter_raw():
                        if body.take(piece):
                            body.unpack()
                        if body.is_enough:
                            break
                    return _response(answer, body.finish(), request, self._settings)
        except _FAILURES as error:
            return _failure(error, request)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def interrupt(self) -> None:
        """End what is under way in other threads, as if the network had: nothing else reaches a thread that reads."""
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    socket.shutdown(connection, SHUT_RDWR)  # the plain one: TLS would wait for the other side

    def _watch(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._keep}

    def _keep(self, event: str, about: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = about["return_value"]
            stream.read = partial(_read_in_time, stream.read)  # httpx's own timeout begins anew with each byte
            with self._lock:
                self._sockets.add(stream.get_extra_info("socket"))


class AsyncTransport:
    """
    The same without blocking: what takes the processor is done in a thread.

    Those of one event loop with the same settings share connections, because a triggerer has many that wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Made here, where no loop waits for it. Who finds connections that are shared already needs none of its own.
        self._http = _opened(httpx.AsyncClient, settings)
        self._shared: _SharedConnections | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until it may send: a request takes the loop a millisecond, so there are few at a time."""
        async with self._connections.turns:
            yield

    async def send(self, request: Request) -> Answer:
        """Ask once, in its turn."""
        http, url = self._connections.http, self._connections.url
        deadline = Deadline(self._settings.timeout)
        try:
            asked = _build(http, url(request.path), request, self._settings)
            async with timeout_at(deadline.at) as limit:
                with _inside(_ASKED, request):
                    answer = await http.send(asked, stream=True)
                async with aclosing(answer):
                    with _body(request, answer) as body:
                        async for piece in answer.aiter_raw():
                            deadline.extend(len(piece))
                            limit.reschedule(deadline.at)
                            if body.take(piece):
                                await to_thread(body.unpack)
                            if body.is_enough:
                                break
                        return _response(answer, await to_thread(body.finish), request, self._settings)
        except TimeoutError:
            return _failure(httpx.ReadTimeout(deadline.reason, request=asked), request)
        except _FAILURES as error:
            return _failure(error, request)

    async def close(self) -> None:
        """Close the connections, unless others use them."""
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
    """The connections of an event loop to one server, and how many transports use them."""

    http: httpx.AsyncClient
    url: Callable[[str], httpx.URL]
    turns: Semaphore = field(default_factory=lambda: Semaphore(MAX_CONCURRENT_REQUESTS))
    users: int = 0


_SHARED: WeakKeyDictionary[AbstractEventLoop, dict[Settings, _SharedConnections]] = WeakKeyDictionary()


def _body(request: Request, answer: httpx.Response) -> Body:
    return Body(request, answer.headers.get("content-encoding", ""), is_success=answer.is_success)


def _response(answer: httpx.Response, content: bytes, request: Request, settings: Settings) -> Response:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in answer.headers.raw}
    if not answer.is_success:  # whoever echoes a secret shall not bring it into our error
        content = mask_values(content, settings.api_key, request.secret)
    return Response(answer.status_code, headers, content)


V = TypeVar("V")

_DEADLINE: ContextVar[Deadline] = ContextVar("_DEADLINE")  # of what this thread reads
_ASKED: ContextVar[Request | None] = ContextVar("_ASKED", default=None)  # whose secrets stay out of the logs below


@contextmanager
def _inside(variable: ContextVar[V], value: V) -> Iterator[None]:
    """Give a variable its value inside of a block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _read_in_time(read: Callable[..., bytes], max_bytes: int, timeout: float | None = None) -> bytes:
    """Read what has come of an answer, before its deadline."""
    deadline = _DEADLINE.get()
    left = deadline.left
    if left <= 0:
        raise httpx.ReadTimeout(deadline.reason)
    came = read(max_bytes, left if timeout is None else min(timeout, left))
    deadline.extend(len(came))
    return came


def _without_secrets(record: logging.LogRecord) -> bool:
    """Take the server's words out of httpx's line about an answer, and tell whether it may be logged."""
    asked = _ASKED.get()
    if asked is None:
        return True
    if isinstance(record.args, tuple) and record.args:
        *known, status, _ = record.args  # the last are the words of the server
        record.args = (*known, status, httpx.codes.get_reason_phrase(status) if isinstance(status, int) else "")
    return not asked.shown


logging.getLogger("httpx").addFilter(_without_secrets)
# For debugging httpcore logs the headers of an answer, which may hold links, and errors, which quote what came.
logging.getLogger("httpcore.http11").addFilter(
    lambda record: (
        _ASKED.get() is None or not any(part in record.getMessage() for part in ("response_headers", ".failed"))
    )
)


C = TypeVar("C", httpx.Client, httpx.AsyncClient)


def _opened(kind: type[C], settings: Settings, **more: Any) -> C:
    """
    Make a client of httpx, which reads the worker's proxy variables.

    :raises ConfigurationError: for a variable, a host or a CA bundle that it does not take.
    """
    options = _options(settings)
    try:
        return kind(**options, **more)
    except ImportError:
        why = "a SOCKS proxy needs one more package. Install it: pip install 'httpx[socks]', or use an http:// proxy"
    except (ValueError, httpx.InvalidURL):
        why = "one names no proxy. Write them like http://proxy.example.com:3128"
    # Without the error that came, which may quote the password of a proxy.
    raise ConfigurationError(f"The worker cannot use its {_proxy_variables()}: {why}.") from None


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "base_url": _address(settings.api_url),
        "headers": {
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "User-Agent": f"airflow-provider-langsmith/{__version__}",
        },
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
        "verify": _shared_trust(settings.verify),
    }


def _address(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(
            f"The connection's host is no address that can be asked: {url!r}. Correct it: {error}."
        ) from error


def _shared_trust(verify: bool | str) -> Any:
    """Read a CA bundle once a process, and again if its file changes: each time takes 20 ms and a megabyte."""
    path = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE", "")
    try:
        found = Path(path).stat()
        version = found.st_mtime_ns, found.st_size
    except (OSError, ValueError):  # there is none, or not any more, which is an error of `_trust`
        version = None
    with _TRUST_LOCK:
        return _trust_once(verify, path, os.environ.get("SSL_CERT_DIR", ""), version)


_TRUST_LOCK = Lock()


@lru_cache(maxsize=16)
def _trust_once(verify: bool | str, *_: object) -> Any:
    return _trust(verify)


def _trust(verify: bool | str) -> Any:
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
    """Name the environment's variables about proxies. Their values may hold passwords."""
    known = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    return ", ".join(name for name in os.environ if name.upper() in known and os.environ[name])


def _urls(http: httpx.Client | httpx.AsyncClient, settings: Settings) -> Callable[[str], httpx.URL]:
    """Make whole addresses of paths, and remember them, because httpx takes long to read one."""
    return lru_cache(maxsize=32)(lambda path: http.build_request("GET", settings.address(path)).url)


def _build(
    http: httpx.Client | httpx.AsyncClient, url: httpx.URL, request: Request, settings: Settings
) -> httpx.Request:
    """Build a request; the key goes to the API's own host and nowhere else, wherever the address leads."""
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
_QUOTED = re.compile(r"(?::| b['\"]).*")  # what came or was sent, at the end of an error of the protocol
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
    why = _ERRNO.sub("", " ".join(str(error).split())) or type(error).__name__
    if isinstance(error, httpx.ProtocolError):
        why = _QUOTED.sub("", why)
    asked = f"\nAsked: {request.description}."
    host = _asked_host(error)
    if found := _CERTIFICATE.search(why):
        return ConfigurationError(
            f"The certificate of {host} is not trusted: {found[1]}. If a CA of your own signed it, set 'verify' in the "
            f"connection's extra to the path of that CA's file. Else correct the connection's host.{asked}"
        )
    if isinstance(error, httpx.ProxyError) and why.startswith("407"):
        return ConfigurationError(f"The worker's proxy refuses the way to {host}: {why}. {PROXY_LOGIN}{asked}")
    kind = ReadTimeoutError if isinstance(error, httpx.ReadTimeout) else TransportError
    variables = _proxy_variables()
    way = f"the worker's way to it, which may be a proxy ({variables})" if variables else "the worker's way to it"
    return kind(
        f"No whole answer from {host}: {why}. A retry may help; if it does not, check the connection's host and "
        f"{way}.{asked}"
    )


def _asked_host(error: Exception) -> str:
    """Name the server that was asked; its name is no secret where the rest of the address is one."""
    request = getattr(error, "_request", None)
    return str(request.url.host) if request is not None else "the server"
