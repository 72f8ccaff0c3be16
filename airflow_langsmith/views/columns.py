"""The contract of a view: its columns, by name, type, source and meaning; and the rows that keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Raw

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean

# How each type lands: Parquet, then JSONL and CSV.
#   string     string                  text
#   boolean    bool                    true, false
#   integer    int64                   number
#   number     double                  number
#   timestamp  timestamp[us, UTC]      2025-03-01T00:00:00.000000Z
#   strings    list<string>            array (CSV: as JSON)
#   json       string, JSON text       the value itself (CSV: as JSON)
ColumnType = Literal["string", "boolean", "integer", "number", "timestamp", "strings", "json"]

Part = Literal["whole", "items", "texts"]
IDS: tuple[str, ...] = ()  # what an id is made of
THREAD = ("metadata.session_id", "metadata.thread_id", "metadata.conversation_id")
MODEL = ("metadata.ls_model_name",)


@dataclass(frozen=True)
class Column:
    """
    One column of a view.

    ``fields`` names the fields of a :class:`Run` it is made of, ``read`` makes its values for all records of a page:
    runs, or what a view makes of them (:class:`Below`). A column that is not ``default`` comes only when asked for; one
    that ``repeats`` has few distinct values.

    ``made_of`` names the paths of a run (or piece of feedback) that its values come from, as users write them: a rule
    of ``redact`` for one of these holds for the column. By default it is the column's own name; an id, which LangSmith
    makes, is made of nothing that a user wrote. ``part`` says where in the column these values are: they are the
    ``whole`` of it, the ``items`` of its list, or ``texts`` in it, such as its keys::

        thread_id          made_of=("metadata.session_id", "metadata.thread_id", ...)
        retriever_inputs   made_of=("inputs",), part="items"
        tool_calls         made_of=("name",), part="texts"
    """

    name: str
    type: ColumnType
    meaning: str
    fields: tuple[str, ...]
    read: Callable[[list[Any]], list[Any]]
    default: bool = True
    repeats: bool = False
    made_of: tuple[str, ...] | None = None
    part: Part = "whole"


@dataclass(frozen=True)
class Rows:
    """
    The rows of one page, held column by column in the order of the view's columns.

    ``keys`` are their ids, of runs or of threads, by which a row that comes again is known; ``pending`` says of each
    whether its run had not ended. Both are there until that is sorted out, whichever columns are wanted.
    """

    columns: list[list[Any]]
    count: int
    keys: list[str] | None = None
    pending: list[bool] | None = None

    def part(self, start: int, end: int) -> Rows:
        """Take the rows from ``start`` to before ``end``."""
        if start == 0 and end == self.count:
            return self
        keys, pending = self.keys and self.keys[start:end], self.pending and self.pending[start:end]
        return Rows([values[start:end] for values in self.columns], end - start, keys, pending)

    def at(self, places: Sequence[int]) -> Rows:
        """Take the rows at some places."""
        keys = self.keys and [self.keys[place] for place in places]
        pending = self.pending and [self.pending[place] for place in places]
        return Rows([[values[place] for place in places] for values in self.columns], len(places), keys, pending)


class Record(Protocol):
    """What a root becomes, with the runs of its trace added one by one, newest first."""

    def add(self, run: Run) -> None:
        """Take in a run of the trace, the root too."""


@dataclass(frozen=True)
class Below:
    """
    What a view of traces wants beside the roots.

    ``record`` makes of a root what its columns read; the runs of its trace are added to it, those of ``run_type`` if
    one is named, with ``fields`` filled. ``at_once`` is how many traces are held at a time, None for a page of them.
    """

    record: Callable[[Run], Record]
    fields: tuple[str, ...]
    run_type: str | None = None
    at_once: int | None = None


@dataclass(frozen=True)
class View:
    """
    A kind of row: which columns it has, and which of them are wanted.

    Without ``below`` a row is a run. With it, rows are traces, and the query is about their roots: ``ask`` narrows it
    to those that the view is about. With ``source="feedback"`` a row is a piece of feedback,
    with ``threads`` a conversation. ``marks`` is the column that tells which payloads could not be had, where an export
    goes on without them.
    """

    name: str
    columns: tuple[Column, ...]
    below: Below | None = None
    ask: Callable[[RunQuery], RunQuery] = lambda query: query
    source: Literal["runs", "feedback", "threads"] = "runs"
    marks: Column | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a run that have to be asked for."""
        return tuple(sorted({field for column in self.columns for field in column.fields}))

    def place(self, column: str) -> int:
        """Find the place of a column among those wanted."""
        return [one.name for one in self.columns].index(column)

    def rows(self, records: Sequence[Any]) -> Rows:
        """Turn a page of records into rows."""
        records = list(records)
        return Rows([column.read(records) for column in self.columns], len(records))


def json_of(value: Any) -> Raw | None:
    """Write the value of a JSON column; None is null."""
    return None if value is None else Raw(msgspec.json.encode(value))


def chosen(view: View, names: Iterable[str] | None) -> View:
    """
    Choose of a view's columns: the default ones, or the named ones in the order named.

    :raises ConfigurationError: for a name the view does not have, and for a name given twice.
    """
    offered = {column.name: column for column in view.columns}
    if names is None:
        return replace(view, columns=tuple(column for column in offered.values() if column.default))
    wanted = list(names)
    if unknown := sorted(set(wanted) - set(offered)):
        meant = " ".join(filter(None, (did_you_mean(name, offered) for name in unknown)))
        raise ConfigurationError(
            f"View {view.name!r} has no column {', '.join(map(repr, unknown))}. {meant} It has {', '.join(offered)}."
        )
    if not wanted or len(set(wanted)) < len(wanted):
        raise ConfigurationError(f"columns has to name columns of view {view.name!r}, each once: {wanted}.")
    return replace(view, columns=tuple(offered[name] for name in wanted))
