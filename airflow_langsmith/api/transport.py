"""
The wire. The only module that imports httpx: Airflow is moving to a fork of it, and the swap must be one file.

httpx never logs headers, and nothing here does.
"""

from __future__ import annotations

from contextlib import aclosing, closing
from typing import Any

import httpx

from airflow_langsmith import __version__
from airflow_langsmith.api.encodings import ACCEPTED, PackingError, unpacked
from airflow_langsmith.api.errors import ConfigurationError, ReadTimeoutError, TransportError
from airflow_langsmith.api.flow import Request, Response
from airflow_langsmith.api.settings import Settings

CONNECT_TIMEOUT = 10.0  # seconds, as the official SDK waits


class Transport:
    """Sends a request and blocks until its answer; errors of the network are returned, not raised."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.Client(**_options(settings))

    def send(self, request: Request) -> Response | TransportError:
        """Ask once."""
        try:
            answer = self._http.send(_build(self._http, request, self._settings), stream=True)
            with closing(answer):
                return _response(answer, b"".join(answer.iter_raw()), self._settings)
        except _FAILURES as error:
            return _failure(error, request)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """The same without blocking."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(**_options(settings))

    async def send(self, request: Request) -> Response | TransportError:
        """Ask once."""
        try:
            answer = await self._http.send(_build(self._http, request, self._settings), stream=True)
            async with aclosing(answer):
                return _response(answer, b"".join([piece async for piece in answer.aiter_raw()]), self._settings)
        except _FAILURES as error:
            return _failure(error, request)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


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
        raise ConfigurationError(f"The connection's host is no address that can be asked: {url!r}: {error}.") from error


def _trust(verify: bool | str) -> Any:
    if isinstance(verify, bool):
        return verify
    import ssl  # noqa: PLC0415  # only a private CA needs it here

    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:
        raise ConfigurationError(f"The connection's extra 'verify' names no readable CA bundle: {verify!r}.") from error


def _build(http: httpx.Client | httpx.AsyncClient, request: Request, settings: Settings) -> httpx.Request:
    headers = {}
    if request.needs_key:
        headers["X-API-Key"] = settings.api_key
        if settings.workspace_id:
            headers["X-Tenant-Id"] = settings.workspace_id
    return http.build_request(
        request.method, request.path, params=request.params or None, json=request.json, headers=headers
    )


# An address or a text that cannot be sent is the caller's, and raised where the request is built.
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, UnicodeError, PackingError)


def _response(answer: httpx.Response, body: bytes, settings: Settings) -> Response:
    content = unpacked(body, answer.headers.get("content-encoding", "").strip().lower())
    if settings.api_key and not answer.is_success:  # whoever echoes the key in an error shall not bring it into ours
        content = content.replace(settings.api_key.encode(), b"***")
    return Response(answer.status_code, dict(answer.headers), content)


def _failure(error: Exception, request: Request) -> TransportError:
    if isinstance(error, httpx.InvalidURL | UnicodeError):
        raise ConfigurationError(
            f"{request.named} cannot be sent: {type(error).__name__} {error}. A retry will not help: check the "
            "connection's host, and the texts of the query."
        ) from error
    about = f" [{request.about}]" if request.about else ""
    kind = ReadTimeoutError if isinstance(error, httpx.ReadTimeout) else TransportError
    return kind(
        f"No whole answer to {request.named}{about}: {type(error).__name__} {error}. A retry may help; "
        "if it does not, check the connection's host and the worker's way to it."
    )
