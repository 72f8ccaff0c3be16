"""Loads in the middle of which something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from airflow_langsmith.tables import table_at
from airflow_langsmith.tables.load import Load, LoadOptions
from airflow_langsmith.tables.table import Loaded, Mode, Session, Table

Moment = Literal["manifest", "session", "commit"]


class _Exports(list[str]):
    """Manifests, and what happens once they are read."""

    action: Callable[[], object]

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        self.action()


@dataclass(frozen=True)
class _Interrupted:
    """A table, and what happens once its session is open."""

    table: Table
    action: Callable[[], object]

    @contextmanager
    def session(self) -> Iterator[Session]:
        with self.table.session() as session:
            self.action()
            yield session


def load(
    exported: str,
    table: str,
    *,
    mode: Mode | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    moment: Moment = "commit",
) -> Loaded:
    """Load an export; something happens once the manifest or the table is read, or right before the commit."""

    def act(now: Moment) -> None:
        if now == moment:
            meanwhile()

    exports = _Exports([exported])
    exports.action = lambda: act("manifest")
    interrupted = _Interrupted(table_at(table), lambda: act("session"))
    return Load(exports, interrupted, LoadOptions(mode=mode), before_commit=lambda: act("commit")).run()[1]
