"""Values from inside the JSON of a row, each in a column of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.views.casts import MisfitError, cast
from airflow_langsmith.views.columns import Column, ColumnType, Rows
from airflow_langsmith.views.discover import Discovery
from airflow_langsmith.views.layers import opened, score, scored
from airflow_langsmith.views.paths import ANY, Path, Step, matching, parse, place_of

MISFITS = "flatten_misfits"


class Flattening:
    """
    Adds a column for each path, and keeps what does not fit.

    A path without a type gives text: a text as it is, any other value as its JSON. What is missing is null. With a
    type, a value of another one is null in its column, stays in ``flatten_misfits`` under its path, and is counted in
    ``misfits``. ``columns`` are those that come out.

    :raises ConfigurationError: for a path that cannot be meant.
    """

    def __init__(self, columns: Sequence[Column], paths: Iterable[str]) -> None:
        self._paths = [_meant(parse(text), columns) for text in paths]
        self._trees: dict[int, _Node] = {}
        self.misfits = 0
        self.columns = tuple(columns)
        for number, path in enumerate(self._paths):
            place = place_of(path, columns)
            self._trees.setdefault(place, _Node()).grow(path, number, scored=scored(path.column, columns))
            self._add(_name(path), path.type or "string", f"What is at {path.text}.", columns[place])
        self._typed = any(path.type for path in self._paths)
        if self._typed:
            self._add(MISFITS, "json", "Values that did not fit the type of their path, by path.", self.columns[-1])

    def apply(self, rows: Rows) -> Rows:
        """Add the columns to rows."""
        found: list[list[Raw | None]] = [[None] * rows.count for _ in self._paths]
        for place, tree in self._trees.items():
            for row, payload in enumerate(rows.columns[place]):
                if payload is not None:
                    for number, raw in tree.find(payload):
                        found[number][row] = raw
        misfits: list[dict[str, Raw]] = [{} for _ in range(rows.count)]
        added = [self._cast(path, values, misfits) for path, values in zip(self._paths, found, strict=True)]
        if self._typed:
            added.append([Raw(msgspec.json.encode(row)) if row else None for row in misfits])
        return Rows([*rows.columns, *added], rows.count)

    def _cast(self, path: Path, values: list[Raw | None], misfits: list[dict[str, Raw]]) -> list[Any]:
        fitting: list[Any] = [None] * len(values)
        for row, raw in enumerate(values):
            if raw is not None:
                try:
                    fitting[row] = cast(raw, path.type or "string")
                except MisfitError:
                    misfits[row][path.text] = raw
                    self.misfits += 1
        return fitting

    def _add(self, name: str, type_: ColumnType, meaning: str, source: Column) -> None:
        taken = {column.name.casefold() for column in self.columns}  # most databases do not tell a from A
        while name.casefold() in taken:
            name = f"flat_{name}"
        made = replace(source, name=name, type=type_, meaning=meaning, read=_from_rows, default=True, repeats=False)
        self.columns = (*self.columns, made)


@dataclass
class _Node:
    """What paths want of one place in a payload, and below it; so each place is decoded once for all of them."""

    ends: list[int] = field(default_factory=list)
    scores: list[int] = field(default_factory=list)
    below: dict[Step, _Node] = field(default_factory=dict)

    def grow(self, path: Path, number: int, *, scored: bool) -> None:
        node = self
        for step in path.steps:
            node = node.below.setdefault(step, _Node())
        (node.scores if scored and len(path.steps) == 1 else node.ends).append(number)

    def find(self, raw: Raw) -> Iterator[tuple[int, Raw]]:
        for number in self.ends:
            yield number, raw
        for number in self.scores:
            yield number, score(raw)
        if self.below:
            inside: Any = opened(raw)
            for step, node in self.below.items():
                for key in matching(inside, step):
                    yield from node.find(inside[key])


def _meant(path: Path, columns: Sequence[Column]) -> Path:
    if columns[place_of(path, columns)].type != "json" or not path.steps:
        raise ConfigurationError(f"Path {path.text!r} is a whole column; name a key in a JSON column to flatten it.")
    if ANY in path.steps:
        raise ConfigurationError(
            f"Path {path.text!r} stands for many values, and a column holds one a row; name each index or key, or the "
            "list itself, which becomes JSON text."
        )
    return path


def _name(path: Path) -> str:
    """Name the column: what may not be in a name becomes an underscore."""
    joined = "__".join([path.column, *map(str, path.steps)])
    return "".join(letter if f"_{letter}".isidentifier() else "_" for letter in joined)


def _from_rows(records: list[Any]) -> list[Any]:
    """Stand in for reading records: these columns come from rows."""
    return [None] * len(records)


__all__ = ["Discovery", "Flattening"]
