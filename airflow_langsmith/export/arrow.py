"""
Parquet, and zstd for the other formats. The only module that imports pyarrow.

Columns are built from buffers: ``pyarrow.array`` on a list is shorter, but loads pandas where it is installed, which
costs a second and 60 MB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_langsmith.errors import PayloadError
from airflow_langsmith.views import Column, ColumnType, Rows, View

# Rows wait until there are so many or so large ones: to add them to the columns costs by the batch.
_BATCH_ROWS = 1000
_BATCH_BYTES = 4 * 1024 * 1024
ROW_GROUP_BYTES = 8 * 1024 * 1024  # before compression; twice that made files smaller by less than a hundredth
_ROW_OVERHEAD_BYTES = 128  # of a row beside its texts and payloads: its numbers and times

TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "strings": pa.list_(pa.string()),
    "json": pa.string(),
}


def schema_of(view: View) -> pa.Schema:
    """Return the columns of a view as an Arrow schema; every part has this one."""
    return pa.schema([pa.field(column.name, TYPES[column.type], not column.required) for column in view.columns])


def zstd_file(path: Path) -> Any:
    """Open a file that is compressed as it is written: by zstd at the only level here, its first."""
    return pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd")


def compressed_batch(content: bytes) -> bytes:
    """Compress by lz4, because gzip takes six times as long."""
    return pa.compress(content, "lz4", asbytes=True)  # type: ignore[no-any-return]  # pyarrow has no types


def decompressed_batch(content: bytes) -> bytes:
    """Return what was compressed so."""
    return pa.CompressedInputStream(pa.BufferReader(content), "lz4").read()  # type: ignore[no-any-return]  # as above


class ParquetEncoder:
    """A Parquet file. A row group ends at a row that makes it large enough, whatever pages the rows came in."""

    def __init__(self, path: Path, view: View, compression: str, level: Callable[[Column], int] | None) -> None:
        self._view, self._schema = view, schema_of(view)
        self._columns = [_COLUMNS[column.type]() for column in view.columns]
        columns = zip(self._columns, view.columns, strict=True)
        self._texts = [texts for texts, column in columns if isinstance(texts, _Texts) and not column.repeats]
        self._waiting: list[Rows] = []
        self._rows = self._size = 0  # of the row group that is being filled
        self._row_bytes = _BATCH_BYTES  # the first rows are added as they come
        self._writer = pq.ParquetWriter(
            str(path),
            self._schema,
            compression=compression,
            compression_level=level and {_leaf(column): level(column) for column in view.columns},
            use_dictionary=[_leaf(column) for column in view.columns if column.repeats],
            write_statistics=[
                _leaf(column)
                for column in view.columns
                if has_statistics(column.name, column.type, repeats=column.repeats)
            ],
            store_schema=False,  # 2 KB in each part for Arrow alone, which finds the same types without
        )

    def write(self, rows: Rows) -> None:
        """Add rows."""
        self._waiting.append(rows)
        count = sum(batch.count for batch in self._waiting)
        if count >= _BATCH_ROWS or count * self._row_bytes >= _BATCH_BYTES:
            self._add()

    def close(self) -> None:
        """Finish the file."""
        self._add()
        if self._rows:
            self._flush([self._rows])
        self._writer.close()

    def _add(self) -> None:
        """Add the waiting rows to the columns, and write the row groups that this fills."""
        for place, column in enumerate(self._columns):
            try:
                column.add(list(chain.from_iterable(rows.columns[place] for rows in self._waiting)))
            except (OverflowError, struct.error) as error:  # JSON has numbers of any length, for a count of tokens too
                raise PayloadError(
                    f"Column {self._schema.names[place]!r} has a value that is more than the 64 bits that Parquet can "
                    "hold. Leave the column out, or write JSONL or CSV, which take it as it is."
                ) from error
            if column.has_nulls and self._view.columns[place].required:
                raise PayloadError(
                    f"Column {self._schema.names[place]!r} of view {self._view.name!r} has a null, but Parquet "
                    "requires a value there. LangSmith sent a row without it: leave the column out, or write JSONL or "
                    "CSV, which take it as it is."
                )
        count = sum(rows.count for rows in self._waiting)
        self._waiting = []
        before, self._rows = self._rows, self._rows + count
        size = _ROW_OVERHEAD_BYTES * self._rows + sum(text.size for text in self._texts)
        self._row_bytes = size // max(self._rows, 1)
        if size < ROW_GROUP_BYTES:
            self._size = size
        else:
            self._flush(list(self._ends(before, count)))

    def _ends(self, before: int, count: int) -> Iterator[int]:
        """Yield after which rows the row groups end that the last rows fill; count the bytes of the next one."""
        lengths = (text.lengths(before) for text in self._texts)
        for place, size in enumerate(
            map(sum, zip(repeat(_ROW_OVERHEAD_BYTES, count), *lengths, strict=True)), before + 1
        ):
            self._size += size
            if self._size >= ROW_GROUP_BYTES:
                self._size = 0
                yield place

    def _flush(self, ends: list[int]) -> None:
        """Write the row groups that end after these rows, and drop the rows."""
        # One array a column, because pyarrow ends data pages where chunks end, and those would be LangSmith's pages.
        table = pa.Table.from_arrays([column.array() for column in self._columns], schema=self._schema)
        for start, end in pairwise([0, *ends]):
            self._writer.write_table(table.slice(start, end - start), row_group_size=end - start)
        del table  # no array may be left when rows are dropped
        for column in self._columns:
            column.drop(ends[-1])
        self._rows -= ends[-1]


def _leaf(column: Column) -> str:
    return f"{column.name}.list.element" if column.type == "strings" else column.name


def has_statistics(name: str, type_: str, *, repeats: bool = False) -> bool:
    """Return whether readers can skip rows by a column: its bounds are short, and queries compare it."""
    is_compared = type_ in ("boolean", "integer", "number", "timestamp")
    return repeats or is_compared or (type_ == "string" and name.endswith("_id"))


class _Column:
    """The values of a column until their row group is written, in buffers that become arrays without a copy."""

    def __init__(self, blank: Any) -> None:
        self._blank = blank  # in the place of a null
        self._present = bytearray()  # a byte a row

    def add(self, values: list[Any]) -> None:
        """Add values. Most columns have no nulls: only if that fails, blanks take their places."""
        try:
            self._put(values)
            self._present += b"\x01" * len(values)
        except (TypeError, struct.error):
            self._put([self._blank if value is None else value for value in values])
            self._present += bytes([value is not None for value in values])

    @property
    def has_nulls(self) -> bool:
        return 0 in self._present

    def array(self) -> pa.Array:
        return self._array(len(self._present), _bits(self._present) if self.has_nulls else None)

    def drop(self, rows: int) -> None:
        del self._present[:rows]

    def _put(self, values: list[Any]) -> None:
        """Append all values to the buffers; if one is None, raise and append none."""

    def _array(self, rows: int, present: pa.Buffer | None) -> pa.Array: ...


class _Fixed(_Column):
    def __init__(self, type_: pa.DataType, width: int, pack: Callable[[list[Any]], Any], blank: Any) -> None:
        super().__init__(blank)
        self._type, self._width, self._pack = type_, width, pack
        self._values = bytearray()

    def drop(self, rows: int) -> None:
        super().drop(rows)
        del self._values[: rows * self._width]

    def _put(self, values: list[Any]) -> None:
        self._values += self._pack(values)

    def _array(self, rows: int, present: pa.Buffer | None) -> pa.Array:
        values = _bits(self._values) if self._type == pa.bool_() else pa.py_buffer(self._values)
        return pa.Array.from_buffers(self._type, rows, [present, values])


class _Texts(_Column):
    def __init__(self, encode: Callable[[list[Any]], tuple[bytes, Iterable[Any]]], blank: Any) -> None:
        super().__init__(blank)
        self._encode = encode
        self._lengths = bytearray()
        self._content = BytesIO()  # keeps its memory from one row group to the next

    @property
    def size(self) -> int:
        return self._content.tell()

    def lengths(self, start: int) -> memoryview:
        """Return the bytes of each text, from a row on."""
        return memoryview(self._lengths).cast("i")[start:]

    def drop(self, rows: int) -> None:
        super().drop(rows)
        left = sum(self.lengths(rows))
        rest = bytes(self._content.getbuffer()[self.size - left : self.size])
        self._content.seek(0)
        self._content.write(rest)
        del self._lengths[: rows * _LENGTH_BYTES]

    def _put(self, values: list[Any]) -> None:
        lengths, content = self._encode(values)
        self._lengths += lengths
        self._content.writelines(content)

    def _array(self, rows: int, present: pa.Buffer | None) -> pa.Array:
        content = pa.py_buffer(self._content.getbuffer()[: self.size])
        # The cast checks that it is UTF-8, which msgspec leaves unchecked in raw payloads.
        return pa.Array.from_buffers(pa.binary(), rows, [present, _offsets(self._lengths), content]).cast(pa.string())


class _Lists(_Column):
    def __init__(self) -> None:
        super().__init__(())
        self._lengths = bytearray()
        self._items = _Texts(_encoded, "")

    def drop(self, rows: int) -> None:
        super().drop(rows)
        self._items.drop(sum(memoryview(self._lengths).cast("i")[:rows]))
        del self._lengths[: rows * _LENGTH_BYTES]

    def _put(self, values: list[Any]) -> None:
        lengths = _packed("i", list(map(len, values)))
        self._items.add(list(chain.from_iterable(values)))
        self._lengths += lengths

    def _array(self, rows: int, present: pa.Buffer | None) -> pa.Array:
        buffers = [present, _offsets(self._lengths)]
        return pa.Array.from_buffers(TYPES["strings"], rows, buffers, children=[self._items.array()])


_LENGTH_BYTES = 4


def _packed(letter: str, values: Sequence[Any]) -> bytes:
    return struct.pack(f"{len(values)}{letter}", *values)  # array() takes twice as long


def _encoded(values: list[str]) -> tuple[bytes, Iterable[bytes]]:
    joined = "".join(values)
    content = joined.encode()
    lengths = map(len, values if len(content) == len(joined) else map(str.encode, values))
    return _packed("i", list(lengths)), (content,)


def _unchanged(values: list[Any]) -> tuple[bytes, Iterable[Any]]:
    return _packed("i", list(map(len, values))), values


def _microseconds(values: list[datetime]) -> Any:
    """Return the microseconds since 1970: msgspec prints, and Arrow parses that, in half the time of Python's sums."""
    printed = msgspec.json.encode(values)
    if b"null" in printed:
        raise TypeError
    if not values:
        return b""
    text = memoryview(printed)[2:-2]
    joined = pa.Array.from_buffers(pa.string(), 1, [None, _offsets(_packed("i", [len(text)])), pa.py_buffer(text)])
    return pc.split_pattern(joined, '","').values.cast(TYPES["timestamp"]).buffers()[1]


def _offsets(lengths: bytes | bytearray) -> pa.Buffer:
    """Return the offsets of values that have these lengths."""
    steps = pa.py_buffer(bytes(_LENGTH_BYTES) + lengths)
    return pc.cumulative_sum(pa.Array.from_buffers(pa.int32(), steps.size // _LENGTH_BYTES, [None, steps])).buffers()[1]


def _bits(flags: bytearray) -> pa.Buffer:
    octets = pa.Array.from_buffers(pa.uint8(), len(flags), [None, pa.py_buffer(flags)])
    return octets.cast(pa.bool_()).buffers()[1]


_COLUMNS: dict[ColumnType, Callable[[], _Column]] = {
    "string": lambda: _Texts(_encoded, ""),
    "json": lambda: _Texts(_unchanged, b""),
    "strings": _Lists,
    "boolean": lambda: _Fixed(TYPES["boolean"], 1, bytes, False),
    "integer": lambda: _Fixed(TYPES["integer"], 8, partial(_packed, "q"), 0),
    "number": lambda: _Fixed(TYPES["number"], 8, partial(_packed, "d"), 0.0),
    "timestamp": lambda: _Fixed(TYPES["timestamp"], 8, _microseconds, datetime(1970, 1, 1, tzinfo=UTC)),
}
