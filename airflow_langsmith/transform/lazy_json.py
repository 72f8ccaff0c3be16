"""JSON text: opened one layer at a time, or read as the type of a column. Numbers keep every digit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import DECODE_ERRORS, parse_time
from airflow_langsmith.views.columns import ColumnType

NULL = Raw(b"null")
_CONTAINER: msgspec.json.Decoder[dict[str, Raw] | list[Raw]] = msgspec.json.Decoder(dict[str, Raw] | list[Raw])
_INT64 = range(-(2**63), 2**63)


def open_layer(raw: Raw) -> dict[str, Raw] | list[Raw] | None:
    """Open an object or a list; return None for any other value, and for one that is too deep or broken."""
    try:
        return _CONTAINER.decode(raw)
    except (*DECODE_ERRORS, RecursionError):
        return None


def first_byte(raw: Raw) -> bytes:
    """Return the first character of a JSON text, which shows its type."""
    return memoryview(raw)[:1].tobytes()


def is_whole(raw: Raw) -> bool:
    """Return whether a number has neither fraction nor exponent."""
    return not any(mark in bytes(raw) for mark in b".eE")


def feedback_score(feedback: Raw) -> Raw:
    """
    Return the average score of the feedback under a key, else its only label, else null.

    An average that was NaN is a text. It is null here, because it would make text of a column of numbers.

    >>> bytes(feedback_score(Raw(b'{"n":2,"avg":0.5,"values":{}}')))
    b'0.5'
    >>> bytes(feedback_score(Raw(b'{"n":1,"avg":null,"values":{"good":1}}')))
    b'"good"'
    """
    stats = open_layer(feedback)
    if not isinstance(stats, dict):
        return feedback
    average = stats.get("avg", NULL)
    if average != NULL and first_byte(average) != b'"':
        return average
    labels = open_layer(stats.get("values", NULL))
    return Raw(msgspec.json.encode(next(iter(labels)))) if isinstance(labels, dict) and len(labels) == 1 else NULL


class MisfitError(ValueError):
    """A value does not have the type of its column."""


def cast(raw: Raw, type_: ColumnType) -> Any:
    """
    Read a value as a type; null is None for all types. Nothing is rounded, and of texts only times are parsed.

    >>> cast(Raw(b"3.0"), "integer"), cast(Raw(b'{"a": 1.10}'), "string"), cast(Raw(b"true"), "boolean")
    (3, '{"a": 1.10}', True)

    :raises MisfitError: if it does not fit.
    """
    if raw == NULL:
        return None
    try:
        return _READERS[type_](raw)
    except (*DECODE_ERRORS, ArithmeticError):
        raise MisfitError(type_) from None


def _string(raw: Raw) -> str:
    """Return a text as it is, anything else as its JSON; bytes that are no UTF-8 become U+FFFD."""
    text = bytes(raw).decode("utf-8", "replace")
    return str(json.loads(text, strict=False)) if text[:1] == '"' else text


def _integer(raw: Raw) -> int:
    number = Decimal(bytes(raw).decode())  # takes JSON's numbers and no other JSON
    if not (_INT64.start <= number < _INT64.stop and number == int(number)):
        raise MisfitError("integer")
    return int(number)


def _number(raw: Raw) -> float:
    text = bytes(raw).decode()
    number = float(text)
    if not math.isfinite(number) or (is_whole(raw) and number != Decimal(text)):
        raise MisfitError("number")
    return number


def _timestamp(raw: Raw) -> datetime:
    """Read ISO 8601. A time without a zone is UTC, as LangSmith's own are."""
    time = parse_time(msgspec.json.decode(raw, type=str))
    if time is None:
        raise MisfitError("timestamp")
    return time


_READERS: dict[ColumnType, Callable[[Raw], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": msgspec.json.Decoder(bool).decode,
    "timestamp": _timestamp,
    "strings": msgspec.json.Decoder(list[str]).decode,
    "json": lambda raw: raw,
}
