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

# Status -> its kind, and what to do if the advice of the kind does not fit.
_BY_STATUS: dict[int, tuple[type[ApiError], str]] = {
    **dict.fromkeys((400, 422), (InvalidQueryError, "")),
    **dict.fromkeys((401, 403), (AuthenticationError, "")),
    **dict.fromkeys((405, 410, 501), (UnsupportedError, "")),
    **dict.fromkeys((408, 424, 425, 444, 460), (ServerError, "")),  # 444: nginx hung up, 460: Amazon's load balancer
    402: (ApiError, "The workspace's plan or its limit of usage does not allow it. See its billing in LangSmith."),
    404: (NotFoundError, ""),
    407: (ApiError, PROXY_LOGIN),
    409: (ServerError, "Something else changed it at the same moment. A retry may help."),
    413: (PageTooLargeError, ""),
    414: (ApiError, _TOO_LONG),
    421: (ServerError, "A retry may help; if it does not, check the connection's host: this server is not for it."),
    423: (ServerError, "It is locked for now. A retry may help."),
    426: (ApiError, _OTHER_PROTOCOL),
    429: (RateLimitError, ""),
    431: (ApiError, _TOO_LONG),
    451: (ApiError, "The law forbids the server to answer. Ask whoever runs it."),
    497: (ApiError, _OTHER_PROTOCOL),  # nginx
    499: (ServerError, "A proxy gave up before LangSmith answered. A retry may help."),  # nginx
    511: (ApiError, "The worker's network asks for a login first. Let the worker through to the connection's host."),
    **dict.fromkeys(range(520, 531), (ServerError, _NO_ORIGIN)),  # Cloudflare
}


def error_for(
    status: int, method: str, path: str, body: bytes, purpose: str = "", headers: Mapping[str, str] | None = None
) -> ApiError:
    """Return the error of an answer that is no success; names of headers are in lower case."""
    headers = headers or {}
    family = {3: RedirectError, 4: ApiError}.get(status // 100, ServerError)
    kind, advice = _BY_STATUS.get(status, (family, ""))
    if kind is AuthenticationError and parse_json(body) is None:
        kind = ProxyError
    detail = _target(headers.get("location", "")) if kind is RedirectError else server_message(status, body)
    error = kind(status, method, path, detail, purpose, parse_retry_after(headers.get("retry-after")))
    error.specific_advice = advice
    return error


def _target(location: str) -> str:
    """Return which server a redirect leads to; the rest of the address may be a secret."""
    try:
        url = urlsplit(location)
    except ValueError:
        return ""
    return shorten(f"it leads to {url.scheme or 'https'}://{url.hostname}", PAGE_LIMIT) if url.hostname else ""


def parse_retry_after(retry_after: str | None) -> float | None:
    """
    Return the seconds of a Retry-After header, which may be a date; None for anything else.

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
        except (ValueError, OverflowError, TypeError, IndexError):  # as the parser raises for odd texts
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
