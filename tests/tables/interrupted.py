"""Loads in the middle of which something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from airflow_langsmith.tables import table_at
from airflow_langsmith.tables.load import Load, LoadOptions
from airflow_langsmith.tables.table import Change, Loaded, Mode, Session, Table, TableState

Moment = Literal["manifest", "session", "commit"]


class _Exports(list[str]):
    """Manifests, and what happens once they are read."""

    action: Callable[[], object]

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        self.action()


@dataclass(frozen=True)
class Interrupted:
    """A table, and what happens once its state is read."""

    table: Table
    action: Callable[[], object]

    @contextmanager
    def session(self, directory: Path) -> Iterator[Session]:
        """Open a transaction."""
        with self.table.session(directory) as session:
            yield _InterruptedSession(session, self.action)


@dataclass(frozen=True)
class _InterruptedSession:
    session: Session
    action: Callable[[], object]

    @property
    def types(self) -> Mapping[str, str]:
        return self.session.types

    def open(self, change: Change) -> TableState:
        state = self.session.open(change)
        self.action()
        return state

    def is_loaded(self, change: Change) -> bool:
        return self.session.is_loaded(change)

    def apply(self, change: Change) -> Loaded:
        return self.session.apply(change)


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
    interrupted = Interrupted(table_at(table), lambda: act("session"))
    return Load(exports, interrupted, LoadOptions(mode=mode), before_commit=lambda: act("commit")).run()[1]
