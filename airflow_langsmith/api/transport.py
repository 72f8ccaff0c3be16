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
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import httpx

from airflow_langsmith import __version__
from airflow_langsmith.api.bodies import Body
from airflow_langsmith.api.deadlines import Deadline
from airflow_langsmith.api.encodings import ACCEPTED, PackingError
from airflow_langsmith.api.errors import (
    ConfigurationError,
    LangSmithError,
    LargePayloadError,
    ReadTimeoutError,
    TransportError,
)
from airflow_langsmith.api.flow import Answer, Request, Response
from airflow_langsmith.api.settings import Settings

CONNECT_TIMEOUT = 10.0  # seconds, as the official SDK waits
TURNS = 16  # requests of one event loop to a server at a time; with answers in half a second, v2's budget


class Transport:
    """Sends a request and blocks until its answer; whatever goes wrong is returned, not raised."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.Client(**_options(settings), event_hooks={"request": [self._watch]})
        self._url = _urls(self._http, settings)
        self._sockets: WeakSet[socket] = WeakSet()
        self._lock = Lock()

    def send(self, request: Request) -> Answer:
        """Ask once."""
        deadline = Deadline(self._settings.timeout)
        try:
            asked = _build(self._http, self._url(request.path), request, self._settings)
            with _unlogged(request), _within(deadline):
                answer = self._http.send(asked, stream=True)
                with closing(answer), _body(request, answer) as body:
                    for piece in answer.iter_raw():
                        if body.take(piece):
                            body.unpack()
                        if body.is_enough:
                            break
                    return _response(answer, body.finish(), self._settings)
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
        self._options = _options(settings)  # here, because nobody's loop runs yet, and a CA bundle takes long to read
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
                with _unlogged(request):
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
                        return _response(answer, await to_thread(body.finish), self._settings)
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
                http = httpx.AsyncClient(**self._options)
                of_loop[self._settings] = _SharedConnections(http, _urls(http, self._settings))
            self._shared = of_loop[self._settings]
            self._shared.users += 1
        return self._shared


@dataclass
class _SharedConnections:
    """The connections of an event loop to one server, and how many transports use them."""

    http: httpx.AsyncClient
    url: Callable[[str], httpx.URL]
    turns: Semaphore = field(default_factory=lambda: Semaphore(TURNS))
    users: int = 0


_SHARED: WeakKeyDictionary[AbstractEventLoop, dict[Settings, _SharedConnections]] = WeakKeyDictionary()


def _body(request: Request, answer: httpx.Response) -> Body:
    return Body(request, answer.headers.get("content-encoding", ""), is_success=answer.is_success)


def _response(answer: httpx.Response, content: bytes, settings: Settings) -> Response:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in answer.headers.raw}
    if settings.api_key and not answer.is_success:  # whoever echoes the key shall not bring it into our error
        content = content.replace(settings.api_key.encode(), b"***")
    return Response(answer.status_code, headers, content)


_DEADLINE: ContextVar[Deadline] = ContextVar("_DEADLINE")


@contextmanager
def _within(deadline: Deadline) -> Iterator[None]:
    """Bound what this thread reads by a deadline."""
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def _read_in_time(read: Callable[..., bytes], max_bytes: int, timeout: float | None = None) -> bytes:
    """Read what has come of an answer, before its deadline."""
    deadline = _DEADLINE.get()
    left = deadline.left
    if left <= 0:
        raise httpx.ReadTimeout(deadline.reason)
    came = read(max_bytes, left if timeout is None else min(timeout, left))
    deadline.extend(len(came))
    return came


_UNLOGGED: ContextVar[bool] = ContextVar("_UNLOGGED", default=False)
logging.getLogger("httpx").addFilter(lambda _: not _UNLOGGED.get())


@contextmanager
def _unlogged(request: Request) -> Iterator[None]:
    """Keep an address that is a secret out of httpx's log."""
    token = _UNLOGGED.set(bool(request.shown))
    try:
        yield
    finally:
        _UNLOGGED.reset(token)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "base_url": _address(settings.api_url),
        "headers": {
            "Accept": "application/json",
            "Accept-Encoding": ACCEPTED,
            "User-Agent": f"airflow-provider-langsmith/{__version__}",
        },
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
        "verify": _shared_trust(settings.verify),
    }


def _address(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"The connection's host is no address that can be asked: {url!r}: {error}.") from error


def _shared_trust(verify: bool | str) -> Any:
    """Read a CA bundle once a process, and again if its file changes: each time takes 20 ms and a megabyte."""
    path = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE", "")
    try:
        found = Path(path).stat()
        version = found.st_mtime_ns, found.st_size
    except OSError:  # there is none, or not any more, which is an error of `_trust`
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
    except OSError as error:
        raise ConfigurationError(f"The connection's extra 'verify' names no readable CA bundle: {verify!r}.") from error


def _urls(http: httpx.Client | httpx.AsyncClient, settings: Settings) -> Callable[[str], httpx.URL]:
    """Make whole addresses of paths, and remember them, because httpx takes long to read one."""
    return lru_cache(maxsize=32)(lambda path: http.build_request("GET", settings.address(path)).url)


def _build(
    http: httpx.Client | httpx.AsyncClient, url: httpx.URL, request: Request, settings: Settings
) -> httpx.Request:
    """Build a request; the key goes to the API's own host and nowhere else, wherever the address leads."""
    built = http.build_request(request.method, url, params=request.params or None, json=request.json)
    if request.needs_key and _host(built.url) == _host(http.base_url):
        built.headers["X-API-Key"] = settings.api_key
        if settings.workspace_id:
            built.headers["X-Tenant-Id"] = settings.workspace_id
    return built


def _host(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


_ERRNO = re.compile(r"^\[Errno -?\d+\] ")

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, UnicodeError, LargePayloadError, PackingError)


def _failure(error: Exception, request: Request) -> LangSmithError:
    if isinstance(error, LangSmithError):
        return error
    if isinstance(error, httpx.InvalidURL | UnicodeError):
        why = type(error).__name__ + ("" if request.shown else f" {error}")  # which may quote the address
        return ConfigurationError(
            f"{request.named_about} cannot be sent: {why}. Check the connection's host, and the texts of the query."
        )
    kind = ReadTimeoutError if isinstance(error, httpx.ReadTimeout) else TransportError
    why = _ERRNO.sub("", " ".join(str(error).split())) or type(error).__name__
    return kind(
        f"No whole answer from {_asked_host(error)}: {why}. A retry may help; if it does not, check the connection's "
        f"host and the worker's way to it.\nAsked: {request.named_about}."
    )


def _asked_host(error: Exception) -> str:
    """Name the server that was asked; its name is no secret where the rest of the address is one."""
    request = getattr(error, "_request", None)
    return str(request.url.host) if request is not None else "the server"
