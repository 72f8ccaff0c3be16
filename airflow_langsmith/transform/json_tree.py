"""JSON as a tree that can be changed in place. Its numbers keep every digit: those with a fraction are Raw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import DECODE_ERRORS
from airflow_langsmith.transform.paths import ANY, Step, matching_keys

DROPPED: Any = object()  # what a change returns to remove a value
_TREE = msgspec.json.Decoder(float_hook=Raw)


def read_tree(raw: Raw | bytes) -> Any:
    """Read JSON as a tree. Of a key that is there twice the last one counts, as everywhere."""
    try:
        return _TREE.decode(raw)
    except DECODE_ERRORS:  # bytes that are no UTF-8, or a whole number of thousands of digits
        return json.loads(bytes(raw).decode("utf-8", "replace"), parse_int=Raw, parse_float=Raw)


def to_python(tree: Any) -> Any:
    """Copy a tree as Python's own values; a number that Python does not have becomes text."""
    text = msgspec.json.encode(tree)
    try:
        return msgspec.json.decode(text)
    except DECODE_ERRORS:
        return json.loads(text, parse_int=str, parse_float=_float)


def find_places(top: list[Any], steps: Sequence[Step]) -> list[tuple[Any, Any]]:
    """Return each place that steps lead to: the container, and the key or index in it. ``top`` holds the tree."""
    places: list[tuple[Any, Any]] = [(top, 0)]
    for step in steps:
        places = [(inside[key], at) for inside, key in places for at in matching_keys(inside[key], step)]
    return places


def set_value(container: Any, key: Any, value: Any) -> None:
    """Set a value, or remove it. An item of a list becomes null instead, so that the others keep their places."""
    if value is not DROPPED:
        container[key] = value
    elif isinstance(container, dict):
        del container[key]
    else:
        container[key] = None


def change_leaves(top: list[Any], change: Callable[[Any], Any]) -> None:
    """Change the leaves of a tree (texts, numbers, booleans, nulls), and the keys of its objects."""
    containers: list[Any] = [top]
    for container in containers:  # grows on the way; recursion would end at a depth
        if isinstance(container, dict):
            _change_keys(container, change)
        for key in list(matching_keys(container, ANY)):
            value = container[key]
            if isinstance(value, dict | list):
                containers.append(value)
            else:
                set_value(container, key, change(value))


def _change_keys(container: dict[str, Any], change: Callable[[Any], Any]) -> None:
    """Change keys, in their order. Keys that become equal get a number, so that no value is lost."""
    items = [(key, change(key), value) for key, value in container.items()]
    if all(key is new for key, new, _ in items):
        return
    container.clear()
    counts: dict[str, int] = {}
    for _, changed, value in items:
        key = name = msgspec.json.decode(changed) if isinstance(changed, Raw) else changed
        if isinstance(key, str):
            while name in container:
                counts[key] = counts.get(key, 1) + 1
                name = f"{key}_{counts[key]}"
            container[name] = value


def _float(digits: str) -> float | str:
    return number if math.isfinite(number := float(digits)) else digits
