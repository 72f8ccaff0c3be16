"""The columns of views (name, type and meaning), and batches of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Raw

# How each type lands: Parquet, then JSONL and CSV.
#   string     string                  text
#   boolean    bool                    true, false
#   integer    int64                   number
#   number     double                  number
#   timestamp  timestamp[us, UTC]      2025-03-01T00:00:00.000000Z
#   strings    list<string>            array (CSV: as JSON)
#   json       string, JSON text       the value itself (CSV: as JSON)
ColumnType = Literal["string", "boolean", "integer", "number", "timestamp", "strings", "json"]

SourcesIn = Literal["whole", "items", "texts"]
IDS: tuple[str, ...] = ()  # the sources of an id: LangSmith makes it, no user wrote any of it
THREAD = ("metadata.session_id", "metadata.thread_id", "metadata.conversation_id")
MODEL = ("metadata.ls_model_name",)


@dataclass(frozen=True)
class Column:
    """
    One column of a view.

    ``of`` is the attribute of a record that it holds, by default the one of its name, an expression of ``record``, or a
    function of a record, which takes longer. ``fields`` are the fields of a run that this needs. A column that is not
    ``default`` is there only if a user names it; one that ``repeats`` has few distinct values. A ``required`` one is
    never null, and the schema of Parquet says so.

    ``sources`` are the paths of a run (or piece of feedback) that its values come from, as users write them, by default
    the column's own name: a rule of ``redact`` for one of them holds for the column. ``sources_in`` says where in the
    column they are: the ``whole`` of it, the ``items`` of its list, or ``texts`` in it, such as keys::

        thread_id          sources=("metadata.session_id", "metadata.thread_id", ...)
        retriever_inputs   sources=("inputs",), sources_in="items"
        tool_calls         sources=("name",), sources_in="texts"
    """

    name: str
    type: ColumnType
    meaning: str
    of: str | Callable[[Any], Any] = ""
    fields: tuple[str, ...] = ()
    default: bool = True
    repeats: bool = False
    required: bool = False
    sources: tuple[str, ...] | None = None
    sources_in: SourcesIn = "whole"

    @cached_property
    def read(self) -> Callable[[list[Any]], list[Any]]:
        """The function that returns the column's values for a page of records."""
        # Compiled, as dataclasses are, because an attrgetter or a function takes twice as long for each value.
        read: Callable[[list[Any]], list[Any]] = eval(  # noqa: S307  # of the names in this package
            f"lambda records: [{self.expression} for record in records]", {"of": self.of, "json_of": json_of}
        )
        return read

    @property
    def expression(self) -> str:
        """The value as an expression of ``record``."""
        value = (self.of or self.name) if isinstance(self.of, str) else "of(record)"
        return value if re.search(r"\brecord\b", value) else f"record.{value}"


@dataclass(frozen=True)
class Rows:
    """
    The rows of a batch, column by column in the order of the view's columns.

    ``keys`` tell rows that come twice, ``pending`` says of each whether its run had not ended, and ``times`` decide
    its window if the rows are not from a page of runs. They exist only while rows are read.
    """

    columns: list[list[Any]]
    count: int
    keys: list[str] | None = None
    pending: list[bool] | None = None
    times: list[datetime] | None = None

    def part(self, start: int, end: int) -> Rows:
        """Return the rows from ``start`` to before ``end``."""
        if start == 0 and end == self.count:
            return self
        keys, pending = self.keys and self.keys[start:end], self.pending and self.pending[start:end]
        return Rows([values[start:end] for values in self.columns], end - start, keys, pending)

    def at(self, places: Sequence[int]) -> Rows:
        """Return the rows at these places."""
        keys = self.keys and [self.keys[place] for place in places]
        pending = self.pending and [self.pending[place] for place in places]
        return Rows([[values[place] for place in places] for values in self.columns], len(places), keys, pending)


def json_of(value: Any) -> Raw | None:
    """Return the value of a JSON column; None is null."""
    return None if value is None else Raw(msgspec.json.encode(value))


MISSING_PAYLOADS = Column(
    "missing_payloads",
    "strings",
    "The fields that could not be read from blob storage and are null; `extra` has the metadata.",
    lambda record: sorted(record.missing_payloads),
    sources=("attachments",),
    sources_in="texts",
)
