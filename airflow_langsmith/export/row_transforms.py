"""What becomes of rows before they are encoded: they are redacted, then flattened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from airflow_langsmith.export.row_file import RowCodec, RowFile
from airflow_langsmith.transform.discovery import Discovery
from airflow_langsmith.transform.flatten import Flattening
from airflow_langsmith.transform.paths import hidden_columns
from airflow_langsmith.transform.redact import Redaction
from airflow_langsmith.views import Rows, View


@dataclass(frozen=True, kw_only=True)
class RowTransforms:
    """
    How rows are transformed.

    ``redact`` holds rules (:mod:`airflow_langsmith.transform.redact`) and ``redact_key`` the key of their hashes.
    ``flatten`` holds paths into JSON columns, or ``*`` for all that occur in the window. ``columns`` are written beside
    the flat ones, by default all that a view has.
    """

    redact: Any = None
    redact_key: str | None = field(default=None, repr=False)
    flatten: tuple[str, ...] | Literal["*"] = ()
    columns: tuple[str, ...] | None = None

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


@contextmanager
def transform_rows(
    batches: Iterator[Rows], view: View, transforms: RowTransforms, directory: Path
) -> Iterator[tuple[Iterator[Rows], View, Flattening]]:
    """
    Flatten rows that are redacted; yield them, the view with their columns, and the flattening, which counts.

    To discover paths takes all rows first: they wait on the local disk.
    """
    paths = transforms.flatten
    with ExitStack() as stack:
        if paths == "*":
            discovery, file = Discovery(view.columns), RowFile(directory / "discovery", RowCodec(view))
            stack.callback(file.remove)
            for batch in batches:
                discovery.add(batch)
                file.append(batch)
            paths, batches = discovery.paths(), (file.take() for _ in range(file.waiting))
        flattening = Flattening(view.columns, paths)
        if paths:
            view, batches = replace(view, columns=flattening.columns), map(flattening.apply, batches)
        if hidden := hidden_columns(transforms.flatten, transforms.columns):
            places = [place for place, column in enumerate(view.columns) if column.name not in hidden]
            view = replace(view, columns=tuple(view.columns[place] for place in places))
            batches = (Rows([batch.columns[place] for place in places], batch.count) for batch in batches)
        yield batches, view, flattening
