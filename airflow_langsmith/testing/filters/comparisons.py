"""A comparator and a literal, compiled into a test of a value."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.filters.attributes import Kind, text_of
from airflow_langsmith.testing.filters.syntax import Scalar
from airflow_langsmith.testing.times import parse_time

__all__ = ["InvalidLiteral", "Test", "make_test"]

Test = Callable[[Any], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class InvalidLiteral(ValueError):  # noqa: N818 (an answer to the client, not an error of the server)
    """A literal with which the attribute cannot be compared."""


def make_test(comparator: str, kind: Kind, literal: Scalar | list[Scalar], *, zone_required: bool) -> Test:
    """Return the test of a value. The comparator is already known to suit the attribute."""
    if comparator == "in":
        if not isinstance(literal, list):
            raise InvalidLiteral("'in' needs a list")
        tests = [make_test("eq", kind, item, zone_required=zone_required) for item in literal]
        return lambda value: any(test(value) for test in tests)
    if isinstance(literal, list):
        raise InvalidLiteral(f"{comparator!r} needs a single value, not a list")
    if comparator in ("like", "notlike"):
        return _like(literal, negated=comparator == "notlike")
    if comparator == "has":
        return _has(kind, literal)
    operand = _convert(kind, literal, zone_required=zone_required)
    if comparator in _ORDER:
        return _ordered(_ORDER[comparator], kind, operand)
    equal = _equal(kind, operand)
    return equal if comparator in ("eq", "exists") else lambda value: not equal(value)


def _convert(kind: Kind, literal: Scalar, *, zone_required: bool) -> datetime | Scalar:
    """Convert a literal to the type of the values of a kind."""
    if literal is None or kind == "anything":
        return literal
    if kind == "time":
        if not isinstance(literal, str):
            raise InvalidLiteral("a time needs a quoted ISO 8601 date-time")
        try:
            return parse_time(literal, zone_required=zone_required)
        except ValueError as error:
            raise InvalidLiteral(str(error)) from error
    if kind == "duration":
        return _seconds(literal)
    if kind == "boolean" and not isinstance(literal, bool):
        raise InvalidLiteral("expected true or false")
    if kind == "number" and (isinstance(literal, bool) or not isinstance(literal, (int, float))):
        raise InvalidLiteral("expected a number")
    if kind in ("text", "uuid") and not isinstance(literal, str):
        raise InvalidLiteral("expected a quoted string")
    return literal.lower() if kind == "uuid" and isinstance(literal, str) else literal


def _seconds(literal: Scalar) -> float:
    if isinstance(literal, (int, float)) and not isinstance(literal, bool):
        return float(literal)
    form = _SECONDS.fullmatch(literal) if isinstance(literal, str) else None
    if form is None:
        raise InvalidLiteral("a duration is a number of seconds or a string such as '5s'")
    return float(form[1])


def _ordered(compare: Callable[[Any, Any], bool], kind: Kind, operand: object) -> Test:
    if operand is None:
        raise InvalidLiteral("null has no order")

    def test(value: object) -> bool:
        if value is None or (kind == "number" and not isinstance(value, (int, float))):
            return False
        try:
            return compare(value, operand)
        except TypeError:  # metadata has values of any type: a string is neither more nor less than a number
            return False

    return test


def _equal(kind: Kind, operand: object) -> Test:
    if operand is None:
        return lambda value: value is None
    if kind == "anything":
        text = text_of(operand)
        return lambda value: value == operand or text_of(value) == text
    return lambda value: value is not None and value == operand


def _like(literal: Scalar, *, negated: bool) -> Test:
    if not isinstance(literal, str):
        raise InvalidLiteral("a pattern is a quoted string")
    pattern = re.compile("".join(_sql_wildcard(piece) for piece in re.findall(r"\\.|.", literal, re.DOTALL)), re.DOTALL)
    return lambda value: (value is not None and pattern.fullmatch(text_of(value)) is not None) is not negated


def _sql_wildcard(piece: str) -> str:
    if piece == "%":
        return ".*"
    if piece == "_":
        return "."
    return re.escape(piece[-1])


def _has(kind: Kind, literal: Scalar) -> Test:
    if not isinstance(literal, str):
        raise InvalidLiteral("'has' needs a quoted string")
    if kind == "tags":
        return lambda tags: literal in (tags or ())
    try:
        fields = json.loads(literal)
    except ValueError as error:
        raise InvalidLiteral("metadata is compared with a JSON object in a string") from error
    if not isinstance(fields, dict):
        raise InvalidLiteral("metadata is compared with a JSON object in a string")
    return lambda metadata: all(name in metadata and metadata[name] == value for name, value in fields.items())
