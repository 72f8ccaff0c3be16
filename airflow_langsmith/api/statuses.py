"""Which error an HTTP status is: 302 a ``RedirectError``, 407 an ``ApiError``, 423 a ``ServerError``."""

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
ADDRESS_GONE = (NotFoundError, UnsupportedError)  # errors of an address that the server does not have, or not any more
_BY_STATUS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 422), InvalidQueryError),
    **dict.fromkeys((401, 403), AuthenticationError),
    **dict.fromkeys((405, 410, 501), UnsupportedError),
    # 444: nginx hung up, 460: Amazon's load balancer, 499: nginx, or another proxy, gave up before LangSmith answered
    **dict.fromkeys((408, 409, 421, 423, 424, 425, 444, 460, 499), ServerError),
    404: NotFoundError,
    413: PageTooLargeError,
    429: RateLimitError,
    511: ApiError,
}

# If the advice of the kind does not fit.
_ADVICE = {
    402: "The workspace's plan or its limit of usage does not allow it. See its billing in LangSmith.",
    407: PROXY_LOGIN,
    **dict.fromkeys((414, 431), "Let the proxies on the way take URLs and headers of 8 KB."),
    421: "Check the connection's host: this server does not serve it. A retry may help.",
    **dict.fromkeys(
        (426, 497), "The server takes no http:// here. Write https:// in the connection's host."
    ),  # 497: nginx
    511: "The worker's network asks for a login first. Let the worker through to the connection's host.",
    **dict.fromkeys(range(520, 531), "A proxy in front of the server cannot reach it. A retry may help."),  # Cloudflare
}


def error_for(
    status: int, method: str, path: str, body: bytes, purpose: str = "", headers: Mapping[str, str] | None = None
) -> ApiError:
    """Return the error of an answer that is no success; names of headers are in lower case."""
    headers = headers or {}
    family = {3: RedirectError, 4: ApiError}.get(status // 100, ServerError)
    kind = _BY_STATUS.get(status, family)
    if kind is AuthenticationError and parse_json(body) is None:
        kind = ProxyError
    detail = _target(headers.get("location", "")) if kind is RedirectError else server_message(status, body)
    error = kind(status, method, path, detail, purpose, parse_retry_after(headers.get("retry-after")))
    error.specific_advice = _ADVICE.get(status, "")
    return error


def _target(location: str) -> str:
    """Return which server a redirect leads to; the rest of the address may be a secret."""
    try:
        url = urlsplit(location)
    except ValueError:
        return ""
    return shorten(f"it leads to {url.scheme or 'https'}://{url.hostname}", PAGE_LIMIT) if url.hostname else ""


def parse_retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date; None for anything else."""
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
