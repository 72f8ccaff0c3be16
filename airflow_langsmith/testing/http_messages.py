"""A request as the endpoints see it, their response, and the record of a request that a test reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_langsmith.testing.refusals import Refusal

__all__ = ["RESET", "RecordedRequest", "Request", "Response", "json_response", "json_text"]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """
    A request that the stand-in received.

    ``path`` is the path as sent, without the query. ``query`` has a string for each name, or a list if the name was
    repeated. Names of headers are in lower case. ``body`` is the parsed JSON, or None. ``status`` is 0 if the
    connection was reset.
    """

    method: str
    path: str
    query: dict[str, str | list[str]]
    headers: dict[str, str]
    body: Any
    status: int


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request to an endpoint.

    ``path`` has no version prefix. ``is_below_api`` says whether ``/api`` was in front of it.
    """

    method: str
    path: str
    version: int
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    base_url: str
    is_below_api: bool = True

    def json(self) -> dict[str, Any]:
        """Read the body as a JSON object."""
        try:
            body = json.loads(self.content)
        except ValueError as error:
            raise Refusal(422, f"JSON decode error: {error}", loc=("body",), kind="json_invalid") from error
        if not isinstance(body, dict):
            raise Refusal(422, "Input should be a valid dictionary", loc=("body",), kind="model_attributes_type")
        return body


@dataclass(frozen=True, slots=True)
class Response:
    """
    The answer to a request.

    ``cut_short`` breaks the connection after half of the body. ``byte_seconds`` is the time between two bytes.
    """

    status: int
    content: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_short: bool = False
    byte_seconds: float = 0.0


RESET = Response(0, b"")  # the connection is reset without an answer


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(status, json_text(body).encode(), headers=headers or {})


def json_text(value: object) -> str:
    """Write a value as JSON that UTF-8 can encode."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and UTF-8 cannot
        return json.dumps(value, separators=(",", ":"), default=_plain)
    return text


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
