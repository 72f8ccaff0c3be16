"""
Keep secrets and data out of errors and logs.

::

    lsv2_pt_0123456789abcdef                    ***
    https://smith.langchain.com/public/<token>  https://smith.langchain.com/public/***
    https://bucket.example.com/x?Signature=abc  https://bucket.example.com/x?***
    s3://user:password@bucket                   s3://***@bucket
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from airflow_langsmith.messages import shorten

DETAIL_LIMIT = 500  # characters of the server's message
PAGE_LIMIT = 150  # characters of an answer that is not LangSmith's JSON; proxies send whole pages
MASK = "***"

_SECRETS = (
    (re.compile(r"(?<![A-Za-z0-9])(?:lsv2_|ls__)\w{6,}"), MASK),
    (re.compile(r"((?:/|%2F)public(?:/|%2F))[0-9a-f-]{32,36}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(://)[^\s/@'\"]*:[^\s/@'\"]*@"), rf"\1{MASK}@"),
    (re.compile(r"(?<!duckdb)(://[^\s?'\"]+\?)[^\s'\"]+"), rf"\1{MASK}"),  # of DuckDB it is the name of a table
)


def mask_secrets(text: str) -> str:
    """Mask what looks like a secret: keys of LangSmith, public links, passwords and parameters of addresses."""
    for pattern, mask in _SECRETS:
        text = pattern.sub(mask, text)
    return text


def mask_values(content: bytes, *secrets: str) -> bytes:
    """
    Mask these secrets in a body, because a server may echo them, in several spellings.

    >>> mask_values(b'{"detail": "no run 0F9F5A3E0C9B"}', "0f9f5a3e-0c9b", "")
    b'{"detail": "no run ***"}'
    """
    spellings = {
        spelling.encode()
        for secret in secrets
        for spelling in (secret, secret.replace("-", ""), quote(secret, safe=""), json.dumps(secret)[1:-1])
        if spelling
    }
    if not spellings:
        return content
    pattern = b"|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    return re.sub(pattern, MASK.encode(), content, flags=re.IGNORECASE)


def server_message(status: int, body: bytes) -> str:
    """Return the server's message about a refusal, such as ``limit is too large``."""
    if not 400 <= status < 500:  # noqa: PLR2004  # any other answer may contain data
        return ""
    document = parse_json(body)
    if document is None:
        return shorten(body.decode("utf-8", "replace"), PAGE_LIMIT)
    return shorten(_sentence(document), DETAIL_LIMIT)


def parse_json(body: bytes) -> Any:
    """Return a body as JSON; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def describe_body(body: bytes) -> str:
    """Describe a body without quoting it."""
    if not body.strip():
        return "it is empty"
    return "it is a page of HTML or XML" if body.lstrip()[:1] == b"<" else f"it has {len(body):,} bytes"


def _sentence(document: Any) -> str:
    """Return the message in any shape of LangSmith's two API versions; any other text may be data."""
    if isinstance(document, str):
        return document
    if isinstance(document, list):
        return "; ".join(filter(None, map(_sentence, document)))
    if not isinstance(document, dict):
        return ""
    if isinstance(message := document.get("msg"), str):
        place = document.get("loc")
        return f"{'.'.join(map(str, place))}: {message}" if isinstance(place, list) else message
    parts = (_sentence(document.get(key)) for key in ("detail", "error", "message", "title"))
    return next(filter(None, parts), "")
