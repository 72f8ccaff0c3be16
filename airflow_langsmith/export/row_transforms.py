"""What becomes of rows before they are encoded: they are redacted, sorted and flattened, in this order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
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
    How rows are transformed.

    ``redact`` holds rules (:mod:`airflow_langsmith.transform.redact`) and ``redact_key`` the key of their hashes.
    ``order_by`` names the column of dotted orders to sort by. ``flatten`` holds paths into JSON columns, or ``*`` for
    all that occur in the window. ``hidden`` names columns that are read for that and not written.
    """

    redact: Any = None
    redact_key: str | None = field(default=None, repr=False)
    order_by: str | None = None
    flatten: tuple[str, ...] | Literal["*"] = ()
    hidden: frozenset[str] = frozenset()

    def check(self, view: View) -> None:
        """
        Refuse rules and paths that a view cannot have.

        :raises ConfigurationError: naming the first.
        """
        self.redaction(view)
        if self.flatten != "*":
            Flattening(view.columns, self.flatten)

    def redaction(self, view: View) -> Redaction:
        """Return what is done to rows first, before a disk or another thread has them."""
        return Redaction(view.columns, self.redact or (), self.redact_key)


class TransformedRows:
    """
    Redacted rows, sorted and flattened; ``view`` has the columns that they have then.

    To sort, or to discover paths, takes all rows first: they wait on the local disk.
    """

    def __init__(self, rows: Iterator[Rows], view: View, transforms: RowTransforms, directory: Path) -> None:
        self.view = view
        self._rows = rows
        self._stack = ExitStack()
        self._flattening: Flattening | None = None
        self._has_named_paths = transforms.flatten != "*"
        try:
            self._transform(transforms, directory)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Rows]:
        return self._rows

    @property
    def misfits(self) -> int:
        """How many values so far did not fit the type of their path."""
        return self._flattening.misfits if self._flattening else 0

    @property
    def nulls(self) -> dict[str, int]:
        """How many values so far are null, by flat column."""
        return dict(self._flattening.nulls) if self._flattening else {}

    @property
    def empty_columns(self) -> tuple[EmptyColumn, ...]:
        """The flat columns of named paths that are null in all rows so far."""
        return self._flattening.empty() if self._flattening and self._has_named_paths else ()

    def _transform(self, transforms: RowTransforms, directory: Path) -> None:
        view, rows, paths = self.view, self._rows, transforms.flatten
        if transforms.order_by or paths == "*":
            discovery, spool = Discovery(view.columns), self._stack.enter_context(Spool(directory))
            key = view.place(transforms.order_by) if transforms.order_by else None
            for batch in rows:
                if paths == "*":
                    discovery.add(batch)
                spool.add(batch, key)
            rows = spool.rows()
            paths = discovery.paths() if paths == "*" else paths
        if paths:
            self._flattening = Flattening(view.columns, paths)
            view, rows = replace(view, columns=self._flattening.columns), map(self._flattening.apply, rows)
        if transforms.hidden:
            places = [place for place, column in enumerate(view.columns) if column.name not in transforms.hidden]
            view = replace(view, columns=tuple(view.columns[place] for place in places))
            rows = (Rows([batch.columns[place] for place in places], batch.count) for batch in rows)
        self.view, self._rows = view, rows
