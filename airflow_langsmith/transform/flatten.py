"""Columns for values inside the JSON of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import MAX_LINE, shorten
from airflow_langsmith.transform.column_names import column_name
from airflow_langsmith.transform.lazy_json import MisfitError, cast, feedback_score, open_layer
from airflow_langsmith.transform.paths import ANY, Path, Step, matching_keys, parse, place_of, spell
from airflow_langsmith.views.columns import Column, ColumnType, Rows

MISFITS = "flatten_misfits"
MAX_KEYS = 100  # of one place, for the log


class Flattening:
    """
    Adds a column for each path, and keeps what does not fit.

    Without a type a column is text: a text as it is, any other value as its JSON. A missing value is null. With a type,
    a value of another type is null in its column, stays in ``flatten_misfits`` under its path, and is counted in
    ``misfits``. ``columns`` are all columns of the flattened rows; ``nulls`` counts the nulls of each flat one.

    :raises ConfigurationError: for a path that leads to no value of a row.
    """

    def __init__(self, columns: Sequence[Column], paths: Iterable[str]) -> None:
        self._paths = [_checked(parse(text), columns) for text in paths]
        self._trees: dict[int, _Node] = {}  # by the place of the column
        self.misfits = self.rows = 0
        self.nulls: dict[str, int] = {}
        self.columns = tuple(columns)
        for number, path in enumerate(self._paths):
            place = place_of(path, columns)
            self._trees.setdefault(place, _Node()).add(path, number)
            name = column_name(path.name, _steps(path))
            self._add_column(name, path.type or "string", f"What is at {path.text}.", columns[place])
            self.nulls[name] = 0
        self._is_typed = any(path.type for path in self._paths)
        if self._is_typed:
            meaning = "Values that do not have the type of their path, by path."
            self._add_column(MISFITS, "json", meaning, self.columns[-1])

    def apply(self, rows: Rows) -> Rows:
        """Add the columns to rows."""
        values: list[list[Raw | None]] = [[None] * rows.count for _ in self._paths]
        for place, tree in self._trees.items():
            for row, payload in enumerate(rows.columns[place]):
                if payload is not None:
                    for number, raw in tree.find(payload):
                        values[number][row] = raw
        misfits: list[dict[str, Raw]] = [{} for _ in range(rows.count)]
        added = [self._cast(path, raws, misfits) for path, raws in zip(self._paths, values, strict=True)]
        self.rows += rows.count
        for name, column in zip(self.nulls, added, strict=True):
            self.nulls[name] += column.count(None)
        if self._is_typed:
            added.append([Raw(msgspec.json.encode(row)) if row else None for row in misfits])
        return Rows([*rows.columns, *added], rows.count)

    def empty(self) -> dict[str, str]:
        """
        Return the flat columns that are null in all rows so far, each with a line on what is where its path ends.

        Probably the path is misspelt, as this one is::

            {"inputs__question": "keys of inputs seen: messages, turn"}
        """
        named = zip(self.nulls.items(), self._paths, strict=True)
        return {
            name: shorten(self._hint(path), MAX_LINE - 2) for (name, nulls), path in named if 0 < nulls == self.rows
        }

    def _hint(self, path: Path) -> str:
        node, steps = self._trees[place_of(path, self.columns)], _steps(path)
        for depth, step in enumerate(steps):
            if not node.below[step].is_in_rows:
                place = shorten(spell(path.name, steps[:depth]), MAX_LINE // 2)
                if node.keys:
                    return f"keys of {place} seen: {', '.join(sorted(node.keys))}"
                return f"no row has an object at {place}"
            node = node.below[step]
        return f"{shorten(spell(path.name, steps), MAX_LINE // 2)} has values, but nulls or of another type"

    def _cast(self, path: Path, raws: list[Raw | None], misfits: list[dict[str, Raw]]) -> list[Any]:
        values: list[Any] = [None] * len(raws)
        for row, raw in enumerate(raws):
            if raw is not None:
                try:
                    values[row] = cast(raw, path.type or "string")
                except MisfitError:
                    misfits[row][path.text] = raw
                    self.misfits += 1
        return values

    def _add_column(self, name: str, type_: ColumnType, meaning: str, source: Column) -> None:
        if name in {column.name for column in self.columns}:
            raise ConfigurationError(
                f"Two paths of flatten lead to the same place, and to one column {name!r}. Name each place once."
            )
        new = replace(source, name=name, type=type_, meaning=meaning, of=lambda _: None, default=True, repeats=False)
        self.columns = (*self.columns, new)


@dataclass
class _Node:
    """A place in a payload that paths lead to or through, so that it is decoded once for all of them."""

    ends: list[int] = field(default_factory=list)  # numbers of the paths that end here
    scores: list[int] = field(default_factory=list)  # of those that end in the score of the feedback here
    below: dict[Step, _Node] = field(default_factory=dict)
    is_in_rows: bool = False
    keys: set[str] = field(default_factory=set)

    def add(self, path: Path, number: int) -> None:
        node = self
        for step in path.steps:
            node = node.below.setdefault(step, _Node())
        (node.scores if path.is_score else node.ends).append(number)

    def find(self, raw: Raw) -> Iterator[tuple[int, Raw]]:
        self.is_in_rows = True
        yield from ((number, raw) for number in self.ends)
        yield from ((number, feedback_score(raw)) for number in self.scores)
        if self.below:
            layer: Any = open_layer(raw)
            if isinstance(layer, dict) and len(self.keys) < MAX_KEYS:
                self.keys.update(layer)
            for step, node in self.below.items():
                for key in matching_keys(layer, step):
                    yield from node.find(layer[key])


def _checked(path: Path, columns: Sequence[Column]) -> Path:
    if columns[place_of(path, columns)].type != "json" or not path.steps:
        raise ConfigurationError(f"Path {path.text!r} is a whole column; name a key in a JSON column to flatten it.")
    if ANY in path.steps:
        raise ConfigurationError(
            f"Path {path.text!r} stands for many values, and a column holds one a row; name each index or key, or the "
            "list itself, which becomes JSON text."
        )
    return path


def _steps(path: Path) -> list[str | int]:
    return [step for step in path.steps if step is not ANY]  # paths with ANY are refused
