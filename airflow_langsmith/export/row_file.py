"""
Rows of a view on the local disk: those of a checkpoint, and those that wait for their turn.

::

    length crc32 batch | length crc32 batch | ... | ff ff ff ff ff ff ff ff    (the end, of a finished file only)

A batch holds up to 100 rows column by column, as MessagePack, which is compressed if it is to be uploaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import GenericAlias
from typing import Any, BinaryIO
from zlib import crc32

import msgspec
from msgspec import Raw

from airflow_langsmith.export.encoders import load_arrow
from airflow_langsmith.export.parts import value_bytes
from airflow_langsmith.views import ColumnType, Rows, View

BATCH_ROWS = 100  # to encode a whole page takes several times its memory
_HEAD_BYTES, _LENGTH_BYTES = 8, 4
_END = b"\xff" * _HEAD_BYTES  # no zeros: those are in files that a disk lost when its machine died

_TYPES: dict[ColumnType, Any] = {
    "string": str | None,
    "boolean": bool | None,
    "integer": int | str | None,
    "number": int | float | None,
    "timestamp": datetime | None,
    "strings": list[str] | None,
    "json": bytes | None,
}


class RowCodec:
    """Encodes batches of rows of a view, and decodes them. ``compresses`` says whether by lz4, which needs pyarrow."""

    def __init__(self, view: View, *, compresses: bool = False) -> None:
        self._view, self._types = view, [column.type for column in view.columns]
        self.compresses = compresses
        columns = GenericAlias(tuple, tuple(GenericAlias(list, (_TYPES[type_],)) for type_ in self._types))
        batch = GenericAlias(tuple, (columns, list[str] | None, list[bool] | None, list[datetime] | None, bool))
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder(batch).decode

    def encode(self, rows: Rows) -> bytes:
        """Return a batch as bytes."""
        columns, other = self._mapped("json", bytes, rows.columns), (rows.keys, rows.pending, rows.times)
        try:
            content = self._pack((columns, *other, False))
        except UnicodeEncodeError:
            value_bytes(self._view, rows)  # it names the column
            raise
        except OverflowError:  # JSON has integers of any length, MessagePack of up to 64 bits
            content = self._pack((self._mapped("integer", str, columns), *other, True))
        return load_arrow().compressed_batch(content) if self.compresses else content

    def decode(self, content: bytes) -> Rows:
        """Return the batch that was encoded."""
        if self.compresses:
            content = load_arrow().decompressed_batch(content)
        columns, *other, has_long_integers = self._unpack(content)
        if has_long_integers:
            columns = self._mapped("integer", int, columns)
        columns = self._mapped("json", Raw, columns)
        return Rows(columns, len(columns[0]), *other)

    def _mapped(self, type_: ColumnType, convert: Any, columns: Sequence[list[Any]]) -> list[list[Any]]:
        return [
            [None if value is None else convert(value) for value in values] if each == type_ else values
            for each, values in zip(self._types, columns, strict=True)
        ]


class RowFile:
    """
    A local file of batches that one side appends and another one takes, oldest first.

    ``size_bytes`` is what it takes on the disk, ``waiting`` how many batches nobody has taken. A file whose batches
    were all taken is empty again.
    """

    def __init__(self, path: Path, codec: RowCodec) -> None:
        self.path = path
        self.size_bytes = self.waiting = self._taken_bytes = 0
        self._codec = codec
        self._file = path.open("w+b", buffering=0)

    def append(self, rows: Rows) -> None:
        """Append rows."""
        for start in range(0, rows.count, BATCH_ROWS):
            end = min(rows.count, start + BATCH_ROWS)
            times = rows.times and rows.times[start:end]
            batch = self._codec.encode(replace(rows.part(start, end), times=times))
            self._write(_head(batch) + batch)
            self.waiting += 1

    def take(self) -> Rows:
        """Return the oldest batch that nobody has taken."""
        self._file.seek(self._taken_bytes)
        content = next(read_batches(self._file))
        self._taken_bytes += _HEAD_BYTES + len(content)
        self.waiting -= 1
        if not self.waiting:
            self.clear()
        return self._codec.decode(content)

    def finish(self) -> None:
        """Mark the end, by which a reader knows that the file is whole."""
        self._write(_END)

    def clear(self) -> None:
        """Drop all batches."""
        self._file.truncate(0)
        self.size_bytes = self.waiting = self._taken_bytes = 0

    def remove(self) -> None:
        """Close the file, and remove it from the disk."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        self._file.seek(self.size_bytes)
        while left:  # a disk that is nearly full takes the first part, and fails at the next
            left = left[self._file.write(left) :]
        self.size_bytes += len(content)


def read_batches(file: BinaryIO) -> Iterator[bytes]:
    """
    Yield the encoded batches of a finished file.

    :raises EOFError: if the file is not whole.
    """
    while (head := file.read(_HEAD_BYTES)) != _END:
        batch = file.read(int.from_bytes(head[:_LENGTH_BYTES]))
        if head != _head(batch):
            raise EOFError("it is not whole")
        yield batch


def _head(batch: bytes) -> bytes:
    return len(batch).to_bytes(_LENGTH_BYTES) + crc32(batch).to_bytes(_HEAD_BYTES - _LENGTH_BYTES)
