"""JSON text opened one layer at a time: what is inside stays the text it came as, to the last digit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import DECODE_ERRORS
from airflow_langsmith.transform.paths import SHORT
from airflow_langsmith.views.columns import Column

NULL = Raw(b"null")
_CONTAINER: msgspec.json.Decoder[dict[str, Raw] | list[Raw]] = msgspec.json.Decoder(dict[str, Raw] | list[Raw])


def opened(raw: Raw) -> dict[str, Raw] | list[Raw] | None:
    """Open an object or a list; None for what has no inside, or is too deep or broken to have one."""
    try:
        return _CONTAINER.decode(raw)
    except (*DECODE_ERRORS, RecursionError):
        return None


def first(raw: Raw) -> bytes:
    """Give the first character of a JSON text, which tells what it is."""
    return memoryview(raw)[:1].tobytes()


def is_whole(raw: Raw) -> bool:
    """Tell whether a number is written as a whole one."""
    return not any(mark in bytes(raw) for mark in b".eE")


def scored(name: str, columns: Sequence[Column]) -> bool:
    """Tell whether a column's name in a path is the short one of feedback, below which keys stand for their scores."""
    return name in SHORT and name not in {column.name for column in columns}


def score(feedback: Raw) -> Raw:
    """
    Take from the feedback under a key its average score, else its single label, else nothing.

    An average that was NaN is a text by now, and none: it would make a column of numbers one of texts.

    >>> bytes(score(Raw(b'{"n":2,"avg":0.5,"values":{}}')))
    b'0.5'
    >>> bytes(score(Raw(b'{"n":1,"avg":null,"values":{"good":1}}')))
    b'"good"'
    """
    inside = opened(feedback)
    if not isinstance(inside, dict):
        return feedback
    average = inside.get("avg", NULL)
    if average != NULL and first(average) != b'"':
        return average
    labels = opened(inside.get("values", NULL))
    return Raw(msgspec.json.encode(next(iter(labels)))) if isinstance(labels, dict) and len(labels) == 1 else NULL
