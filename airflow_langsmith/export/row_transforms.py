"""What becomes of rows before they are encoded: redacted, sorted, flattened, in this order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from airflow_langsmith.export.spool import Spool
from airflow_langsmith.transform.discovery import Discovery
from airflow_langsmith.transform.empty_columns import EmptyColumn
from airflow_langsmith.transform.flatten import Flattening
from airflow_langsmith.transform.redact import Redaction
from airflow_langsmith.views import Rows, View


@dataclass(frozen=True, kw_only=True)
class RowTransforms:
    """
    How rows are to look.

    ``redact`` holds rules (:mod:`airflow_langsmith.transform.redact`) and ``redact_key`` the key of their hashes.
    ``order_by`` names the column of dotted orders to sort by. ``flatten`` holds paths into JSON columns, or ``*`` for
    all that are found in the window. ``hidden`` names columns that are read for that and not written.
    """

    redact: Any = None
    redact_key: str | None = field(default=None, repr=False)
    order_by: str | None = None
    flatten: tuple[str, ...] | Literal["*"] = ()
    hidden: frozenset[str] = frozenset()

    def check(self, view: View) -> None:
        """
        Refuse rules and paths that cannot be meant for a view.

        :raises ConfigurationError: naming the one.
        """
        self.redaction(view)
        if self.flatten != "*":
            Flattening(view.columns, self.flatten)

    def redaction(self, view: View) -> Redaction:
        """Make what is done to rows first of all, before any disk or other thread has them."""
        return Redaction(view.columns, self.redact or (), self.redact_key)


class Shaped:
    """
    Rows in shape.

    ``view`` says which columns they have then, ``misfits`` how many values did not fit a path's type, ``nulls`` how
    many are null in each flat column, and ``empty`` which columns of named paths hold nothing else.
    They come redacted. Sorting and discovering need all rows first, and spool them.
    """

    def __init__(self, rows: Iterator[Rows], view: View, shape: RowTransforms, directory: Path) -> None:
        self._stack = ExitStack()
        self._flattening: Flattening | None = None
        self._named = shape.flatten != "*"
        try:
            self.view, self._rows = self._steps(rows, view, shape, directory)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        """Give the rows."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the spool."""
        self._stack.close()

    def __iter__(self) -> Iterator[Rows]:
        """Give the rows, some at a time."""
        return self._rows

    @property
    def misfits(self) -> int:
        """How many values were kept aside so far."""
        return self._flattening.misfits if self._flattening else 0

    @property
    def nulls(self) -> dict[str, int]:
        """How many values of each flat column are null so far."""
        return dict(self._flattening.nulls) if self._flattening else {}

    @property
    def empty(self) -> tuple[EmptyColumn, ...]:
        """The columns of named paths that are null in all rows so far; what was discovered is there."""
        return self._flattening.empty() if self._flattening and self._named else ()

    def _steps(
        self, rows: Iterator[Rows], view: View, shape: RowTransforms, directory: Path
    ) -> tuple[View, Iterator[Rows]]:
        paths = shape.flatten
        if shape.order_by or paths == "*":
            discovery, spool = Discovery(view.columns), self._stack.enter_context(Spool(directory))
            key = view.place(shape.order_by) if shape.order_by else None
            for batch in rows:
                if paths == "*":
                    discovery.add(batch)
                spool.add(batch, key)
            rows = spool.rows()
            paths = discovery.paths() if paths == "*" else paths
        if paths:
            self._flattening = Flattening(view.columns, paths)
            view, rows = replace(view, columns=self._flattening.columns), map(self._flattening.apply, rows)
        if shape.hidden:
            places = [place for place, column in enumerate(view.columns) if column.name not in shape.hidden]
            view = replace(view, columns=tuple(view.columns[place] for place in places))
            rows = (Rows([batch.columns[place] for place in places], batch.count) for batch in rows)
        return view, rows
