"""Sets of ids that take little memory, however many there are."""

from __future__ import annotations

import marshal
import weakref
from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import Protocol, TypeVar

from airflow_langsmith.errors import LocalDiskError

_CACHE_KB = 256  # of memory; SQLite writes the rest to a temporary file without a name


class HasId(Protocol):
    """A run, a piece of feedback, a project."""

    @property
    def id(self) -> str: ...  # noqa: D102


R = TypeVar("R", bound=HasId)


class IdSet:
    """
    Remembers ids, exactly, in about 1 MB of memory and 60 bytes of local disk for each id.

    A million random UUIDs take 3 µs of the processor each, ids that begin with their time (UUIDv7) 1 µs.

    >>> ids = IdSet()
    >>> list(ids.add(["a", "b", "a"])), list(ids.add(["b", "c"]))
    ([0, 1], [1])
    """

    def __init__(self) -> None:
        import sqlite3  # noqa: PLC0415  # parsing a DAG does not need it

        self._error = sqlite3.Error
        self._count = 0  # of all ids passed to add
        # Without a name it is a temporary database of this connection. One thread at a time uses it.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = off", "synchronous = off", f"cache_size = -{_CACHE_KB}"):
            self._table.execute(f"pragma {pragma}")
        self._table.execute("create table ids (id text primary key, place integer) without rowid")
        self._table.execute("begin")
        weakref.finalize(self, self._table.close)

    def add(self, ids: Sequence[str]) -> Sequence[int]:
        """Add ids, and return the places of the new ones, each once; a full local disk is a ``LocalDiskError``."""
        first, self._count = self._count, self._count + len(ids)
        before = self._table.total_changes
        try:
            rows = zip(ids, range(first, self._count), strict=True)
            self._table.executemany("insert or ignore into ids values (?, ?)", rows)
        except self._error as error:
            raise _disk_error(error) from error
        if self._table.total_changes - before == len(ids):
            return range(len(ids))
        return [place for place, id_ in enumerate(ids) if self._place(id_) == first + place]

    def __contains__(self, id_: str) -> bool:
        """Return whether an id was added."""
        return self._place(id_) is not None

    def add_new(self, records: Sequence[R]) -> list[R]:
        """Add the ids of records, and return the records whose id is new."""
        return [records[place] for place in self.add([record.id for record in records])]

    def _place(self, id_: str) -> int | None:
        row: tuple[int] | None = self._table.execute("select place from ids where id = ?", (id_,)).fetchone()
        return row[0] if row else None


class IdLog:
    """
    Remembers ids at next to no cost; only the first look-up sorts them into an :class:`IdSet`.

    Until then it takes 256 KB of memory, and 40 bytes of local disk for each id.

    >>> log = IdLog()
    >>> log.add(["a", "b"])
    >>> log.known(["b", "c"])
    {'b'}
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_CACHE_KB * 1024)  # noqa: SIM115  # closed with this object
        self._ids: IdSet | None = None
        weakref.finalize(self, self._file.close)

    def add(self, ids: list[str]) -> None:
        """Add ids; a full local disk is a ``LocalDiskError``."""
        try:
            if self._ids is None:
                self._file.write(marshal.dumps(ids))
            else:
                self._ids.add(ids)
        except OSError as error:
            raise _disk_error(error) from error

    def known(self, ids: Sequence[str]) -> set[str]:
        """Return the ids that were added before."""
        if not ids:
            return set()
        if self._ids is None:
            all_ids, end = IdSet(), self._file.tell()
            self._file.seek(0)
            while self._file.tell() < end:
                all_ids.add(marshal.load(self._file))  # noqa: S302  # our own
            self._file.close()
            self._ids = all_ids
        return {id_ for id_ in ids if id_ in self._ids}


def _disk_error(error: Exception) -> LocalDiskError:
    return LocalDiskError(
        f"The worker's temporary directory takes no more ids: {error}. "
        "Give it more room, or set TMPDIR to a larger disk."
    )
