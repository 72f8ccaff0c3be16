"""A request as the endpoints see it, their answer, and what is kept for the test to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_langsmith.testing.refusals import Refusal

__all__ = ["RESET", "Answer", "Call", "RecordedRequest", "json_answer"]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """
    One request the stand-in has received.

    ``path`` is as sent, without the query; ``query`` holds one string per name, or a list where a name was
    repeated; header names are lower-case; ``body`` is the parsed JSON, None if there was none; ``status`` is 0
    where the connection was reset instead of an answer.
    """

    method: str
    path: str
    query: dict[str, str | list[str]]
    headers: dict[str, str]
    body: Any
    status: int


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request on its way to an endpoint.

    ``path`` is the route without version prefix, ``below_api`` tells whether ``/api`` was in front of it.
    """

    method: str
    path: str
    version: int
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    base_url: str
    below_api: bool = True

    def json(self) -> dict[str, Any]:
        """Read the body as a JSON object."""
        try:
            body = json.loads(self.content)
        except ValueError as error:
            raise Refusal(422, f"JSON decode error: {error}", loc=("body",), kind="json_invalid") from error
        if not isinstance(body, dict):
            raise Refusal(422, "Input should be a valid dictionary", loc=("body",), kind="model_attributes_type")
        return body

    def text(self, name: str) -> str | None:
        """Give one query parameter, the last if it was repeated."""
        values = self.query.get(name)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What goes back over the wire.

    ``cut_short`` breaks the connection halfway through the body. ``byte_seconds`` are between a byte and the next one.
    """

    status: int
    content: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_short: bool = False
    byte_seconds: float = 0.0


RESET = Answer(0, b"")  # no answer at all: the connection is reset


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    try:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and UTF-8 cannot
        content = json.dumps(body, separators=(",", ":"), default=_plain).encode()
    return Answer(status, content, headers=headers or {})


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
