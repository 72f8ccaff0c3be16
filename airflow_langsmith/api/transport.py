"""
The wire. The only module that imports httpx: Airflow is moving to a fork of it, and the swap must be one file.

httpx never logs headers, and nothing here does. It does log addresses, but for those that are secrets.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from io import BytesIO
from socket import SHUT_RDWR, socket
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import httpx

from airflow_langsmith import __version__
from airflow_langsmith.api.encodings import ACCEPTED, PackingError, unpacked
from airflow_langsmith.api.errors import (
    ConfigurationError,
    LangSmithError,
    LargePayloadError,
    ReadTimeoutError,
    TransportError,
)
from airflow_langsmith.api.flow import Answer, Request, Response
from airflow_langsmith.api.masking import without
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.statuses import PROXY_LOGIN

CONNECT_TIMEOUT = 10.0  # seconds, as the official SDK waits


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
        try:
            with _unlogged(request):
                answer = self._http.send(
                    _build(self._http, self._url(request.path), request, self._settings), stream=True
                )
                with closing(answer), _Body(request, answer) as body:
                    for piece in answer.iter_raw() if body.packed else answer.iter_bytes():
                        body.take(piece)
                    return body.response(self._settings)
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
            with self._lock:
                self._sockets.add(about["return_value"].get_extra_info("socket"))


class AsyncTransport:
    """The same without blocking."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = _opened(httpx.AsyncClient, settings)
        self._url = _urls(self._http, settings)

    async def send(self, request: Request) -> Answer:
        """Ask once."""
        try:
            with _unlogged(request):
                answer = await self._http.send(
                    _build(self._http, self._url(request.path), request, self._settings), stream=True
                )
                async with aclosing(answer):
                    with _Body(request, answer) as body:
                        async for piece in answer.aiter_raw() if body.packed else answer.aiter_bytes():
                            body.take(piece)
                        return body.response(self._settings)
        except _FAILURES as error:
            return _failure(error, request)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class _Body:
    """
    The body of an answer, taken piece by piece, into memory or the request's file, until it is too large.

    One of any size stays packed until it is whole, for in one piece it is unpacked in half the time.
    """

    def __init__(self, request: Request, answer: httpx.Response) -> None:
        self._request = request
        self._answer = answer
        self._path = request.into if answer.is_success else None
        self._file = self._path.open("wb") if self._path else BytesIO()
        self._size = 0
        self.packed = request.largest is None and self._path is None
        self._largest = request.largest_packed if self.packed else request.largest

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and remove it where the body is not whole."""
        self._file.close()
        if self._path and error is not None:
            self._path.unlink()

    def take(self, piece: bytes) -> None:
        """Take the next piece; of a body that has a largest size, as it is once unpacked."""
        self._size += len(piece)
        if self._largest is not None and self._size > self._largest:
            raise LargePayloadError(
                f"The answer to {_named(self._request)} is over {self._largest / 2**20:.3g} MB, which is the "
                "most that is taken here."
            )
        self._file.write(piece)

    def response(self, settings: Settings) -> Response:
        """Give the whole answer; a body that went into a file stays there."""
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in self._answer.headers.raw}
        content = self._file.getvalue() if isinstance(self._file, BytesIO) else b""
        if self.packed:
            content = unpacked(content, headers.get("content-encoding", "").lower())
        if not self._answer.is_success:  # whoever echoes a secret shall not bring it into our error
            content = without(content, settings.api_key, self._request.secret)
        return Response(self._answer.status_code, headers, content)


_ASKED: ContextVar[Request | None] = ContextVar("_ASKED", default=None)


@contextmanager
def _unlogged(request: Request) -> Iterator[None]:
    """Keep secrets out of the logs of httpx and httpcore: addresses that are secrets, and what a server echoes."""
    token = _ASKED.set(request)
    try:
        yield
    finally:
        _ASKED.reset(token)


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
            "Accept-Encoding": ACCEPTED,
            "User-Agent": f"airflow-provider-langsmith/{__version__}",
        },
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
        "verify": _trust(settings.verify),
    }


def _address(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(
            f"The connection's host is no address that can be asked: {url!r}. Correct it: {error}."
        ) from error


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
    built = http.build_request(request.method, url, params=request.params or None, json=request.json)
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

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, UnicodeError, LargePayloadError, PackingError)
_NOT_SENT = (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError)


def _failure(error: Exception, request: Request) -> LangSmithError:
    if isinstance(error, LangSmithError):
        return error
    if isinstance(error, _NOT_SENT):  # its text may quote an address or a header
        return ConfigurationError(
            f"{_named(request)} cannot be sent ({type(error).__name__}). Check the connection's host, its API key, and "
            "the texts of the query."
        )
    why = _ERRNO.sub("", " ".join(str(error).split())) or type(error).__name__
    if isinstance(error, httpx.ProtocolError):
        why = _QUOTED.sub("", why)
    asked = f"\nAsked: {_named(request)}."
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


def _named(request: Request) -> str:
    return f"{request.named} [{request.about}]" if request.about else request.named
