"""The attributes of a run in filters: their comparators, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from airflow_langsmith.testing.records import Feedback, Run

__all__ = ["ATTRIBUTES", "COMPARATORS", "PAIRS", "Attribute", "Kind", "Pair", "pairs_of", "text_of"]

Kind = Literal["text", "uuid", "time", "duration", "number", "boolean", "tags", "object", "payload", "anything"]

COMPARATORS = ("eq", "neq", "gt", "gte", "lt", "lte", "has", "in", "like", "notlike", "exists", "search")

_ORDER = frozenset({"gt", "gte", "lt", "lte"})
_EQUAL = frozenset({"eq", "neq", "in"})
_LIKE = frozenset({"like", "notlike"})
_EXISTS = frozenset({"exists"})


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property of the run. ``versions`` are the API versions with which it can be filtered."""

    kind: Kind
    comparators: frozenset[str]
    read: Callable[[Run], object]
    nullable: bool = False
    versions: frozenset[int] = frozenset({1, 2})


@dataclass(frozen=True, slots=True)
class Pair:
    """A part of a key-value pair of metadata, of a payload, or of feedback."""

    family: Literal["metadata", "input", "output", "feedback"]
    part: Literal["key", "value", "score", "source"]
    kind: Kind
    comparators: frozenset[str]


ATTRIBUTES: dict[str, Attribute] = {
    "id": Attribute("uuid", _EQUAL | _LIKE, lambda run: run.id),
    "trace_id": Attribute("uuid", _EQUAL, lambda run: run.trace_id),
    "parent_run_id": Attribute("uuid", _EQUAL | _EXISTS, lambda run: run.parent_run_id, nullable=True),
    "thread_id": Attribute("text", _EQUAL | _EXISTS, lambda run: run.thread_id, nullable=True),
    "name": Attribute("text", _EQUAL | _LIKE, lambda run: run.name),
    "run_type": Attribute("text", _EQUAL | _LIKE, lambda run: run.run_type),
    "status": Attribute("text", _EQUAL | _LIKE, lambda run: run.status),
    "is_root": Attribute("boolean", frozenset({"eq", "neq"}), lambda run: run.is_root),
    "start_time": Attribute("time", _ORDER, lambda run: run.start_time),
    "end_time": Attribute("time", _ORDER, lambda run: run.end_time),
    "latency": Attribute("duration", _ORDER, lambda run: run.latency),
    "tags": Attribute("tags", frozenset({"has"}), lambda run: run.tags),
    "metadata": Attribute("object", frozenset({"has"}), lambda run: run.metadata),
    "inputs": Attribute("payload", _LIKE, lambda run: run.inputs),
    "outputs": Attribute("payload", _LIKE, lambda run: run.outputs),
    "error": Attribute("payload", _LIKE, lambda run: run.error, versions=frozenset({2})),
    "total_tokens": Attribute("number", _ORDER | _EQUAL, lambda run: run.usage.total_tokens, versions=frozenset({2})),
}

_KEY = _EQUAL | _LIKE | _EXISTS
_VALUE = _KEY | _ORDER

PAIRS: dict[str, Pair] = {
    "metadata_key": Pair("metadata", "key", "text", _KEY),
    "metadata_value": Pair("metadata", "value", "anything", _VALUE),
    "input_key": Pair("input", "key", "text", _KEY),
    "input_value": Pair("input", "value", "anything", _VALUE),
    "output_key": Pair("output", "key", "text", _KEY),
    "output_value": Pair("output", "value", "anything", _VALUE),
    "feedback_key": Pair("feedback", "key", "text", _KEY),
    "feedback_score": Pair("feedback", "score", "number", _EQUAL | _ORDER | _EXISTS),
    "feedback_value": Pair("feedback", "value", "anything", _VALUE),
    "feedback_source": Pair("feedback", "source", "text", _KEY),
}


def pairs_of(family: str, run: Run, feedback: list[Feedback]) -> list[dict[str, object]]:
    """Return the pairs of a run in a family, each as ``{part: value}``."""
    if family == "feedback":
        return [
            {
                "key": item.key,
                "score": item.score,
                "value": item.value,
                "source": (item.feedback_source or {}).get("type"),
            }
            for item in feedback
        ]
    payload = {"metadata": run.metadata, "input": run.inputs, "output": run.outputs}[family]
    return [{"key": key, "value": value} for key, value in _flatten(payload or {}, "")]


def _flatten(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield each path and value of a payload: ``messages.content`` reaches into lists as well as objects."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flatten(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list)):
                yield from _leaves(inner, path)
            else:
                yield path, inner


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    pairs = _flatten(value, path)
    next(pairs, None)  # the list itself, which ``_flatten`` has yielded
    yield from pairs


def text_of(value: object) -> str:
    """Return the text of a value in the index: a string as it is, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
