"""The paths of all keys in the JSON of rows."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.problems import Problem
from airflow_langsmith.transform.lazy_json import (
    NULL,
    MisfitError,
    cast,
    feedback_score,
    first_byte,
    is_whole,
    open_layer,
)
from airflow_langsmith.transform.paths import SCORES, STATS, spell
from airflow_langsmith.views.columns import Column, ColumnType, Rows

MAX_DEPTH = 3  # keys below a column; deeper objects stay whole
MAX_PATHS = 500  # more columns than people read, fewer than warehouses refuse

# The types that are told apart, the narrowest first, as paths spell them. Any other value is text.
_SPELLED: dict[ColumnType, str] = {"boolean": "bool", "integer": "int64", "number": "float64", "json": "json"}

_Steps = tuple[str, ...]
_Types = frozenset[ColumnType]


class Discovery:
    """
    Finds the paths of all keys, for ``flatten="*"``: add all rows, then ask for the paths.

    Objects are opened down to ``depth`` keys; lists and deeper objects stay whole. Each feedback key has one path, its
    score. The order of rows changes nothing.
    """

    def __init__(self, columns: Sequence[Column], depth: int = MAX_DEPTH, limit: int = MAX_PATHS) -> None:
        self._columns, self._depth, self._limit = columns, depth, limit
        self._types: dict[_Steps, _Types | None] = {}  # that all values have in common; None if all were null
        self._objects: set[_Steps] = set()

    def add(self, rows: Rows) -> None:
        """
        Add the keys of rows.

        :raises ConfigurationError: for more than ``limit`` paths.
        """
        for column, payloads in zip(self._columns, rows.columns, strict=True):
            if column.type == "json":
                name = SCORES if column.name == STATS else column.name
                for payload in payloads:
                    if payload is not None:
                        self._open((name,), payload)

    def paths(self) -> tuple[str, ...]:
        """Return the paths, sorted; with a type if all values have it in common."""
        return tuple(sorted(spell(steps[0], steps[1:]) + self._suffix(steps) for steps in self._types))

    def _open(self, steps: _Steps, payload: Raw) -> None:
        layer = open_layer(payload)
        if not isinstance(layer, dict):
            return
        for key, raw in layer.items():
            below = (*steps, key)
            if steps[0] == SCORES:
                self._end(below, _types_of(feedback_score(raw), may_be_whole=False))  # an average is so by chance
            elif first_byte(raw) == b"{" and len(below) <= self._depth:
                self._objects.add(below)
                self._open(below, raw)
            else:
                self._end(below, _types_of(raw))
        if max(len(self._types), len(self._objects)) > self._limit:
            raise ConfigurationError(
                f"Path '*' finds more than {self._limit} keys, too many for a table; some are probably data, such as "
                "ids. Name the paths instead, or leave out the JSON column that has so many keys."
            ).of(Problem.TOO_MANY_PATHS)

    def _end(self, steps: _Steps, types: _Types | None) -> None:
        before = self._types.get(steps)
        self._types[steps] = types if before is None else before if types is None else before & types

    def _suffix(self, steps: _Steps) -> str:
        if steps in self._objects:  # an object in other rows, so whatever else it is has to be text
            return ""
        types = self._types[steps] or frozenset()
        return next((f":{spelled}" for type_, spelled in _SPELLED.items() if type_ in types), "")


def _types_of(raw: Raw, *, may_be_whole: bool = True) -> _Types | None:
    """Return the types that a value has as it is written: 1.0 is no integer. Null says nothing."""
    if raw == NULL:
        return None
    match first_byte(raw):
        case b"{" | b"[":
            return frozenset({"json"})
        case b"t" | b"f":
            return frozenset({"boolean"})
        case b'"':
            return frozenset()
    numbers: list[ColumnType] = ["integer", "number"] if may_be_whole and is_whole(raw) else ["number"]
    return frozenset(type_ for type_ in numbers if _fits(raw, type_))


def _fits(raw: Raw, type_: ColumnType) -> bool:
    try:
        cast(raw, type_)
    except MisfitError:
        return False
    return True
