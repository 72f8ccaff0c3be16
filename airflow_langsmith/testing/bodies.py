"""Checks of what a request asks for: every field known, and of the right type, before anything is looked up."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow_langsmith.testing.exchange import Call
from airflow_langsmith.testing.moments import parse
from airflow_langsmith.testing.refusals import Refusal, invalid_field

__all__ = [
    "Check",
    "boolean",
    "check_body",
    "check_query",
    "each",
    "moment",
    "number",
    "one_of",
    "page_limit",
    "spelt",
    "text",
    "uuid",
    "uuid_in_path",
]

Check = Callable[[Any], Any]  # returns the value as it is used, or raises ValueError with what is wrong


def text(value: object) -> str:
    """Accept a string."""
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")  # noqa: TRY004 (every complaint is a ValueError)
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


def moment(*, zone_required: bool) -> Check:
    """Accept an ISO 8601 date-time."""

    def check(value: object) -> datetime:
        return parse(text(value), zone_required=zone_required)

    return check


def number(low: int, high: int | None = None) -> Check:
    """Accept an integer within bounds."""

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
    """Accept a v1 page size; too large a one is refused in a sentence of its own."""
    in_range = number(1)

    def check(value: object) -> int:
        limit: int = in_range(value)
        if limit > high:
            raise Refusal(400, f"Limit exceeds maximum allowed value of {high}")
        return limit

    return check


def one_of(values: Collection[str]) -> Check:
    """Accept one of some words, in their own case."""

    def check(value: object) -> str:
        if value not in values:
            raise ValueError("Input should be " + ", ".join(repr(known) for known in values))
        return str(value)

    return check


def each(check: Check) -> Check:
    """Accept a list of what ``check`` accepts."""

    def check_all(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("Input should be a valid list")  # noqa: TRY004
        return [check(item) for item in value]

    return check_all


def spelt(check: Check) -> Check:
    """Accept in a query string, where all is text, what ``check`` accepts in JSON."""

    def read(value: str) -> Any:
        meant: Any = value
        with suppress(ValueError):
            meant = json.loads(value.lower())  # Python clients write True
        return check(meant)

    return read


def check_body(body: Mapping[str, Any], checks: Mapping[str, Check], *, nulls: bool) -> dict[str, Any]:
    """
    Read a JSON body field by field.

    :param nulls: Whether null means "not given" (v1) or is refused (v2).
    """
    return _check(body, checks, where="body", nulls=nulls)


def check_query(call: Call, checks: Mapping[str, Check], lists: Collection[str] = ()) -> dict[str, Any]:
    """Read a query string; the parameters in ``lists`` may be repeated, unknown ones are ignored."""
    given = {name: values if name in lists else values[-1] for name, values in call.query.items() if name in checks}
    return _check(given, checks, where="query", nulls=True)


def uuid_in_path(value: str, name: str) -> str:
    """Read an id that is part of the path."""
    try:
        return uuid(value)
    except ValueError as error:
        raise invalid_field(name, str(error), kind="uuid_parsing", where="path") from error


def _check(given: Mapping[str, Any], checks: Mapping[str, Check], *, where: str, nulls: bool) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in given.items():
        check = checks.get(name)
        if check is None:
            raise invalid_field(name, "Extra inputs are not permitted", kind="extra_forbidden", where=where)
        if value is None and nulls:
            continue
        try:
            read[name] = check(value)
        except ValueError as error:
            raise invalid_field(name, str(error), where=where) from error
    return read
