"""JSON text opened one layer at a time. What is inside stays text, to the last digit."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import DECODE_ERRORS

NULL = Raw(b"null")
_CONTAINER: msgspec.json.Decoder[dict[str, Raw] | list[Raw]] = msgspec.json.Decoder(dict[str, Raw] | list[Raw])


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
