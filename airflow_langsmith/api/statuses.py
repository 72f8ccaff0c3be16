"""
Which error an HTTP status is, whether a retry may cure it, and what to do.

::

    302    RedirectError          only you can    Set the connection's host to LangSmith's API itself ...
    407    ApiError               only you can    Write them into the worker's HTTPS_PROXY ...
    423    ServerError            a retry may     It is locked for now ...
"""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from airflow_langsmith.errors import (
    ApiError,
    AuthenticationError,
    InvalidQueryError,
    NotFoundError,
    PageTooLargeError,
    ProxyError,
    RateLimitError,
    RedirectError,
    ServerError,
    UnsupportedError,
)
from airflow_langsmith.masking import PAGE_LIMIT, parse_json, server_message
from airflow_langsmith.messages import shorten

PROXY_LOGIN = (
    "A proxy on the worker's way asks for a user and a password. Write them into the worker's HTTPS_PROXY, as "
    "user:password@ before the proxy's host."
)
_OTHER_PROTOCOL = "The server takes no http:// here. Write https:// in the connection's host."
_TOO_LONG = "Something on the way takes no request of this length. Let its proxies take addresses and headers of 8 KB."
_NO_ORIGIN = (
    "A proxy in front of the server does not reach it. A retry may help; if it does not, tell whoever runs the server."
)

# Status -> its kind and, where the advice of the kind does not fit, what to do instead.
_BY_STATUS: dict[int, tuple[type[ApiError], str]] = {
    400: (InvalidQueryError, ""),
    401: (AuthenticationError, ""),
    402: (ApiError, "The workspace's plan or its limit of usage does not allow it. See its billing in LangSmith."),
    403: (AuthenticationError, ""),
    404: (NotFoundError, ""),
    405: (UnsupportedError, ""),
    407: (ApiError, PROXY_LOGIN),
    408: (ServerError, ""),
    409: (ServerError, "Something else changed it at the same moment. A retry may help."),
    410: (UnsupportedError, ""),
    413: (PageTooLargeError, ""),
    414: (ApiError, _TOO_LONG),
    421: (ServerError, "A retry may help; if it does not, check the connection's host: this server is not for it."),
    422: (InvalidQueryError, ""),
    423: (ServerError, "It is locked for now. A retry may help."),
    424: (ServerError, ""),
    425: (ServerError, ""),
    426: (ApiError, _OTHER_PROTOCOL),
    429: (RateLimitError, ""),
    431: (ApiError, _TOO_LONG),
    444: (ServerError, ""),  # nginx hung up
    451: (ApiError, "The law forbids the server to answer. Ask whoever runs it."),
    460: (ServerError, ""),  # Amazon's load balancer gave up
    497: (ApiError, _OTHER_PROTOCOL),  # nginx
    499: (ServerError, "A proxy gave up before LangSmith answered. A retry may help."),  # nginx
    501: (UnsupportedError, ""),
    511: (ApiError, "The worker's network asks for a login first. Let the worker through to the connection's host."),
    **dict.fromkeys(range(520, 531), (ServerError, _NO_ORIGIN)),  # Cloudflare
}


def error_for(
    status: int, method: str, path: str, body: bytes, about: str = "", headers: Mapping[str, str] | None = None
) -> ApiError:
    """Give an answer that is no success its error; names of headers are in lower case."""
    given = headers or {}
    kind, advice = _BY_STATUS.get(status) or (_kind_of(status), "")
    if kind is AuthenticationError and parse_json(body) is None:
        kind = ProxyError
    detail = _target(given.get("location", "")) if kind is RedirectError else server_message(status, body)
    error = kind(status, method, path, detail, about, parse_retry_after(given.get("retry-after")))
    error.specific_advice = advice
    return error


def _kind_of(status: int) -> type[ApiError]:
    """Return the kind of a status that has no line of its own in the table."""
    if 300 <= status < 400:  # noqa: PLR2004
        return RedirectError
    return ApiError if 400 <= status < 500 else ServerError  # noqa: PLR2004


def _target(location: str) -> str:
    """Name the server that a redirect leads to; the rest of the address may be a secret."""
    try:
        url = urlsplit(location)
    except ValueError:
        return ""
    return shorten(f"it leads to {url.scheme or 'https'}://{url.hostname}", PAGE_LIMIT) if url.hostname else ""


def parse_retry_after(retry_after: str | None) -> float | None:
    """
    Read a Retry-After header, in seconds or as a date; anything else is as if it were not there.

    >>> parse_retry_after("7")
    7.0
    >>> parse_retry_after("soon") is None
    True
    """
    text = retry_after or ""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (zoned - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError, TypeError, IndexError):  # what the parser makes of odd texts
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
