"""Checks of the fields of a request: each field is known and of its type before the endpoint reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow_langsmith.testing.http_messages import Request
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.times import parse_time

__all__ = [
    "Check",
    "boolean",
    "check_body",
    "check_query",
    "in_query",
    "list_of",
    "number",
    "one_of",
    "page_limit",
    "text",
    "time",
    "uuid",
    "uuid_in_path",
]

Check = Callable[[Any], Any]  # returns the value as it is used, or raises ValueError


def text(value: object) -> str:
    """Accept a string."""
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")  # noqa: TRY004 (each check raises ValueError)
    return value


def boolean(value: object) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise ValueError("Input should be a valid boolean")  # noqa: TRY004
    return value


def uuid(value: object) -> str:
    """Accept a UUID, and write it as LangSmith does."""
    try:
        return str(UUID(text(value)))
    except ValueError:
        raise ValueError("Input should be a valid UUID") from None


def time(*, zone_required: bool) -> Check:
    """Accept an ISO 8601 date-time."""

    def check(value: object) -> datetime:
        return parse_time(text(value), zone_required=zone_required)

    return check


def number(low: int, high: int | None = None) -> Check:
    """Accept an integer from ``low`` to ``high``."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("Input should be a valid integer")  # noqa: TRY004
        if value < low:
            raise ValueError(f"Input should be greater than or equal to {low}")
        if high is not None and value > high:
            raise ValueError(f"Input should be less than or equal to {high}")
        return value

    return check


def page_limit(high: int) -> Check:
    """Accept a page size of v1, which refuses one that is too large in other words."""
    in_range = number(1)

    def check(value: object) -> int:
        limit: int = in_range(value)
        if limit > high:
            raise Refusal(400, f"Limit exceeds maximum allowed value of {high}")
        return limit

    return check


def one_of(values: Collection[str]) -> Check:
    """Accept one of several words, in their own case."""

    def check(value: object) -> str:
        if value not in values:
            raise ValueError("Input should be " + ", ".join(map(repr, values)))
        return str(value)

    return check


def list_of(check: Check) -> Check:
    """Accept a list of what ``check`` accepts."""

    def check_all(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("Input should be a valid list")  # noqa: TRY004
        return [check(item) for item in value]

    return check_all


def in_query(check: Check) -> Check:
    """Accept in a query string, where each value is text, what ``check`` accepts in JSON."""

    def read(text: str) -> Any:
        value: Any = text
        with suppress(ValueError):
            value = json.loads(text.lower())  # Python clients write True
        return check(value)

    return read


def check_body(body: Mapping[str, Any], checks: Mapping[str, Check], *, nulls: bool) -> dict[str, Any]:
    """
    Check each field of a JSON body.

    :param nulls: Whether null is the same as no field (v1), or an error (v2).
    """
    return _check(body, checks, where="body", nulls=nulls)


def check_query(request: Request, checks: Mapping[str, Check], lists: Collection[str] = ()) -> dict[str, Any]:
    """Check a query string. The parameters in ``lists`` may be repeated; unknown parameters are ignored."""
    query = {name: values if name in lists else values[-1] for name, values in request.query.items() if name in checks}
    return _check(query, checks, where="query", nulls=True)


def uuid_in_path(value: str, name: str) -> str:
    """Check an id that is part of the path."""
    try:
        return uuid(value)
    except ValueError as error:
        raise invalid_field(name, str(error), kind="uuid_parsing", where="path") from error


def _check(fields: Mapping[str, Any], checks: Mapping[str, Check], *, where: str, nulls: bool) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in checks:
            raise invalid_field(name, "Extra inputs are not permitted", kind="extra_forbidden", where=where)
        if value is None and nulls:
            continue
        try:
            values[name] = checks[name](value)
        except ValueError as error:
            raise invalid_field(name, str(error), where=where) from error
    return values
