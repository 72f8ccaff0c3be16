"""One comparison: a comparator and a literal, made into a test of a single value."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.filters.attributes import Kind, text_of
from airflow_langsmith.testing.filters.syntax import Scalar
from airflow_langsmith.testing.moments import parse as parse_moment

__all__ = ["NotAccepted", "Test", "make_test"]

Test = Callable[[Any], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class NotAccepted(ValueError):  # noqa: N818 (says what happened, in the words of the v1 error)
    """A literal the attribute cannot be compared with."""


def make_test(comparator: str, kind: Kind, literal: Scalar | list[Scalar], *, zone_required: bool) -> Test:
    """Build the test of one value; whether the comparator suits the attribute has been checked before."""
    if comparator == "in":
        if not isinstance(literal, list):
            raise NotAccepted("'in' needs a list")
        tests = [make_test("eq", kind, item, zone_required=zone_required) for item in literal]
        return lambda value: any(test(value) for test in tests)
    if isinstance(literal, list):
        raise NotAccepted(f"{comparator!r} needs a single value, not a list")
    if comparator in ("like", "notlike"):
        return _like(literal, wanted=comparator == "like")
    if comparator == "has":
        return _has(kind, literal)
    wanted = _convert(kind, literal, zone_required=zone_required)
    if comparator in _ORDER:
        return _ordered(_ORDER[comparator], kind, wanted)
    same = _same(kind, wanted)
    return same if comparator in ("eq", "exists") else lambda value: not same(value)


def _convert(kind: Kind, literal: Scalar, *, zone_required: bool) -> datetime | Scalar:
    """Turn a literal into what values of this kind are compared with."""
    if literal is None or kind == "anything":
        return literal
    if kind == "moment":
        if not isinstance(literal, str):
            raise NotAccepted("a time needs a quoted ISO 8601 date-time")
        try:
            return parse_moment(literal, zone_required=zone_required)
        except ValueError as error:
            raise NotAccepted(str(error)) from error
    if kind == "duration":
        return _seconds(literal)
    if kind == "boolean" and not isinstance(literal, bool):
        raise NotAccepted("expected true or false")
    if kind == "number" and (isinstance(literal, bool) or not isinstance(literal, (int, float))):
        raise NotAccepted("expected a number")
    if kind in ("text", "uuid") and not isinstance(literal, str):
        raise NotAccepted("expected a quoted string")
    return literal.lower() if kind == "uuid" and isinstance(literal, str) else literal


def _seconds(literal: Scalar) -> float:
    if isinstance(literal, (int, float)) and not isinstance(literal, bool):
        return float(literal)
    form = _SECONDS.fullmatch(literal) if isinstance(literal, str) else None
    if form is None:
        raise NotAccepted("a duration is a number of seconds or a string such as '5s'")
    return float(form[1])


def _ordered(compare: Callable[[Any, Any], bool], kind: Kind, wanted: object) -> Test:
    if wanted is None:
        raise NotAccepted("null has no order")

    def test(value: object) -> bool:
        if value is None:
            return False
        try:
            return compare(value, wanted)
        except TypeError:  # metadata holds anything: a string is neither more nor less than a number
            return False

    return _numeric(test) if kind == "number" else test


def _numeric(test: Test) -> Test:
    return lambda value: isinstance(value, (int, float)) and test(value)


def _same(kind: Kind, wanted: object) -> Test:
    if wanted is None:
        return lambda value: value is None
    if kind == "anything":
        text = text_of(wanted)
        return lambda value: value == wanted or text_of(value) == text
    return lambda value: value is not None and value == wanted


def _like(literal: Scalar, *, wanted: bool) -> Test:
    if not isinstance(literal, str):
        raise NotAccepted("a pattern is a quoted string")
    pattern = re.compile("".join(_sql_wildcard(piece) for piece in re.findall(r"\\.|.", literal, re.DOTALL)), re.DOTALL)
    return lambda value: (value is not None and pattern.fullmatch(text_of(value)) is not None) is wanted


def _sql_wildcard(piece: str) -> str:
    if piece == "%":
        return ".*"
    if piece == "_":
        return "."
    return re.escape(piece[-1])


def _has(kind: Kind, literal: Scalar) -> Test:
    if not isinstance(literal, str):
        raise NotAccepted("'has' needs a quoted string")
    if kind == "tags":
        return lambda tags: literal in (tags or ())
    try:
        wanted = json.loads(literal)
    except ValueError as error:
        raise NotAccepted("metadata is compared with a JSON object in a string") from error
    if not isinstance(wanted, dict):
        raise NotAccepted("metadata is compared with a JSON object in a string")
    return lambda found: all(name in found and found[name] == value for name, value in wanted.items())
