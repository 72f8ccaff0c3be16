"""Rows of a view as bytes, and back: what is in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import GenericAlias
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Raw

from airflow_langsmith.api.records import Run
from airflow_langsmith.export.encoders import compressed, decompressed
from airflow_langsmith.export.local_disk import local_disk
from airflow_langsmith.views import ColumnType, Rows, View

ROWS = 100  # of a batch at most: it is in memory as bytes, too
_NUMBER = 4  # bytes; before each batch two numbers, of how long it is and a sum of it
_END = b"\xff" * 2 * _NUMBER  # no zeros: of these are the files that a disk lost when its machine died

_TYPES: dict[ColumnType, Any] = {
    "string": str | None,
    "boolean": bool | None,
    "integer": int | None,
    "number": float | None,
    "timestamp": datetime | None,
    "strings": list[str] | None,
    "json": bytes | None,
}


@dataclass(frozen=True)
class Batch:
    """Rows, with their keys, and the moments that their runs started at."""

    rows: Rows
    starts: list[datetime]


class Batches:
    """Writes rows of a view into packed local files, and reads what is in these; ``codec`` is ``lz4`` or ``none``."""

    def __init__(self, view: View, codec: str) -> None:
        self.codec = codec
        self._json = [column.type == "json" for column in view.columns]
        columns = GenericAlias(tuple, tuple(GenericAlias(list, (_TYPES[column.type],)) for column in view.columns))
        self._decode = msgspec.msgpack.Decoder(
            GenericAlias(tuple, (columns, list[str], list[datetime], list[bool]))
        ).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def pack(self, runs: Sequence[Run], rows: Rows) -> bytes:
        """
        Write a batch of rows, each of one run.

        :raises OverflowError: for a number of more than 64 bits.
        """
        columns = [
            [None if value is None else bytes(value) for value in values] if json else values
            for json, values in zip(self._json, rows.columns, strict=True)
        ]
        return self._encode((columns, rows.keys, [run.start_time for run in runs], rows.pending))

    def whole(self, content: bytes) -> Iterator[bytes]:
        """
        Give the batches that are in a file, as they were packed.

        :raises OSError, EOFError, ValueError: where it is none, or not whole.
        """
        with decompressed(content, self.codec) as file:
            while (head := file.read(2 * _NUMBER)) != _END:
                batch = file.read(int.from_bytes(head[:_NUMBER]))
                if head != _head(batch):
                    raise EOFError("it is not whole")
                yield batch

    def unpack(self, content: bytes) -> Iterator[Batch]:
        """
        Read what is in a file.

        :raises OSError, EOFError, ValueError: as :meth:`whole` does.
        """
        for columns, keys, starts, pending in map(self._decode, self.whole(content)):
            raw = [
                [None if value is None else Raw(value) for value in values] if json else values
                for json, values in zip(self._json, columns, strict=True)
            ]
            yield Batch(Rows(raw, len(starts), keys, pending), starts)


class BatchFile:
    """
    A local file of batches, as it is written, to be closed once. ``size`` counts their bytes before they are packed.

    :raises StorageError: where the local disk takes no more.
    """

    def __init__(self, path: Path, batches: Batches) -> None:
        self.path = path
        self.size = 0
        self._batches = batches
        with self._failing():
            self._file = compressed(path, batches.codec)

    def write(self, runs: Sequence[Run], rows: Rows) -> None:
        """Add rows, each of one run."""
        for start in range(0, rows.count, ROWS):
            end = min(rows.count, start + ROWS)
            content = self._batches.pack(runs[start:end], rows.part(start, end))
            self.size += len(content)
            with self._failing():
                self._file.write(_head(content))
                self._file.write(content)

    def close(self) -> None:
        """Finish it."""
        with self._failing(), self._file:
            self._file.write(_END)

    def _failing(self) -> AbstractContextManager[None]:
        return local_disk("keep rows for a retry on", self.path.parent, "let the task have no retries")


def _head(batch: bytes) -> bytes:
    return len(batch).to_bytes(_NUMBER) + crc32(batch).to_bytes(_NUMBER)
