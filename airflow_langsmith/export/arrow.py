"""
Parquet, and zstd for the other formats. The only module that imports pyarrow.

Columns are built from buffers: ``pyarrow.array`` on a list is shorter, but loads pandas where it is installed, which
costs a second and 60 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain
from operator import sub
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_langsmith.api.errors import PayloadError
from airflow_langsmith.export.encoders import GZIP_LEVEL
from airflow_langsmith.views import Column, ColumnType, Rows, View

# Rows that wait until they are turned into columns together: that costs by the batch, and holds their pages.
BATCH_ROWS = 1000
BATCH_BYTES = 8 * 1024 * 1024
# Raw bytes held before they are compressed and written as one row group: the memory an export takes, some of it twice.
# Row groups twice as large made files smaller by less than a hundredth.
ROW_GROUP = 8 * 1024 * 1024
ROW_OVERHEAD = 128  # bytes a row counts beside its texts and payloads, about what its numbers and times take
LEVELS = {"zstd": 3, "gzip": GZIP_LEVEL}  # zstd is faster than gzip by five to eight times, and smaller

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
    """Write the column contract as an Arrow schema; every part of a view has this one."""
    return pa.schema([pa.field(column.name, TYPES[column.type]) for column in view.columns])


def compressed(path: Path, compression: str) -> Any:
    """Open a file that is compressed as it is written: by ``zstd`` or ``lz4``."""
    return pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), compression)


def decompressed(content: bytes, compression: str) -> Any:
    """Open what was compressed so."""
    return pa.CompressedInputStream(pa.BufferReader(content), compression)


class ParquetEncoder:
    """
    One Parquet file.

    Row groups are cut where their rows reach a size, and each is written in one piece, so the file is the same however
    the rows came in pages.
    """

    def __init__(self, path: Path, view: View, compression: str) -> None:
        self._schema = schema_of(view)
        self._columns = view.columns
        self._texts = [c.name for c in view.columns if c.type in ("string", "json") and not c.repeats]
        self._waiting: list[Rows] = []
        self._group: list[pa.RecordBatch] = []
        self._size = 0
        self._row_size = BATCH_BYTES  # of what was built last; the first rows are built as they come
        few = [_leaf(column) for column in view.columns if column.repeats]
        self._writer = pq.ParquetWriter(
            str(path),
            self._schema,
            compression=compression,
            compression_level=LEVELS.get(compression),
            use_dictionary=few,
            write_statistics=[*few, *(column.name for column in view.columns if column.type == "timestamp")],
        )

    def write(self, rows: Rows) -> None:
        """Add rows."""
        self._waiting.append(rows)
        count = sum(some.count for some in self._waiting)
        if count >= BATCH_ROWS or count * self._row_size >= BATCH_BYTES:
            self._build()

    def close(self) -> None:
        """Finish the file."""
        self._build()
        self._flush()
        self._writer.close()

    def _build(self) -> None:
        """Turn waiting rows into Arrow's columns, which hold no page."""
        columns = zip(self._columns, *(rows.columns for rows in self._waiting), strict=True)
        arrays = [_named(column, list(chain.from_iterable(values))) for column, *values in columns]
        self._waiting = []
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        size = ROW_OVERHEAD * batch.num_rows + sum(_content(batch[name]) for name in self._texts)
        if self._size + size < ROW_GROUP:
            self._size += size
            self._group.append(batch)
        else:
            self._cut(batch)
        self._row_size = size // max(batch.num_rows, 1)

    def _cut(self, batch: pa.RecordBatch) -> None:
        """Add a batch that ends the row group, or several."""
        lengths = [_lengths(batch[name]) for name in self._texts]
        start = 0
        for place, size in enumerate(map(sum, zip([ROW_OVERHEAD] * batch.num_rows, *lengths, strict=True)), 1):
            self._size += size
            if self._size >= ROW_GROUP:
                self._group.append(batch.slice(start, place - start))
                self._flush()
                start = place
        self._group.append(batch.slice(start))

    def _flush(self) -> None:
        # In one piece, for pyarrow ends data pages where chunks end, and those are LangSmith's pages.
        table = pa.Table.from_batches(self._group, self._schema).combine_chunks()
        if table.num_rows:
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._group, self._size = [], 0


def _leaf(column: Column) -> str:
    """Name a column's values as Parquet does."""
    return f"{column.name}.list.element" if column.type == "strings" else column.name


def _offsets(texts: pa.Array) -> memoryview:
    return memoryview(texts.buffers()[1]).cast("i")


def _content(texts: pa.Array) -> int:
    return _offsets(texts)[-1]


def _lengths(texts: pa.Array) -> Iterable[int]:
    offsets = _offsets(texts)
    return map(sub, offsets[1:], offsets)


def _named(column: Column, values: list[Any]) -> pa.Array:
    """Build a column, or name the one that cannot be: JSON has numbers of any length, a count of tokens too."""
    try:
        return _array(column.type, values)
    except OverflowError as error:
        raise PayloadError(
            f"Column {column.name!r} has a value that is more than Parquet's {TYPES[column.type]} can hold. A retry "
            "will not help: leave the column out of columns, or land jsonl or csv, which write it as it is."
        ) from error


def _array(type_: ColumnType, values: list[Any]) -> pa.Array:
    """Build an array; where there are nulls, ``build`` fails at once, and they are filled."""
    build, blank = _BUILDERS[type_]
    try:
        return build(values, None)
    except TypeError:
        present = _bits([value is not None for value in values])
        return build([blank if value is None else value for value in values], present)


def _string(values: list[str], present: pa.Buffer | None) -> pa.Array:
    joined = "".join(values)
    content = joined.encode()
    lengths = map(len, values if len(content) == len(joined) else map(str.encode, values))
    return pa.Array.from_buffers(pa.string(), len(values), [present, _ends(lengths), pa.py_buffer(content)])


def _json(values: list[Any], present: pa.Buffer | None) -> pa.Array:
    binary = [present, _ends(map(len, values)), pa.py_buffer(b"".join(values))]
    # The cast checks that it is UTF-8, which msgspec leaves unchecked in raw payloads.
    return pa.Array.from_buffers(pa.binary(), len(values), binary).cast(pa.string())


def _strings(values: list[list[str]], present: pa.Buffer | None) -> pa.Array:
    items = _string(list(chain.from_iterable(values)), None)
    return pa.Array.from_buffers(TYPES["strings"], len(values), [present, _ends(map(len, values))], children=[items])


def _boolean(values: list[bool], present: pa.Buffer | None) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), len(values), [present, _bits(values)])


def _integer(values: list[int], present: pa.Buffer | None) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [present, pa.py_buffer(array("q", values))])


def _number(values: list[float], present: pa.Buffer | None) -> pa.Array:
    return pa.Array.from_buffers(pa.float64(), len(values), [present, pa.py_buffer(array("d", values))])


def _timestamp(values: list[datetime], present: pa.Buffer | None) -> pa.Array:
    micros = array("q", [(value - _EPOCH) // _MICROSECOND for value in values])
    return pa.Array.from_buffers(TYPES["timestamp"], len(values), [present, pa.py_buffer(micros)])


def _ends(lengths: Iterable[int]) -> pa.Buffer:
    return pa.py_buffer(array("i", accumulate(lengths, initial=0)))


def _bits(flags: list[bool]) -> pa.Buffer:
    octets = pa.Array.from_buffers(pa.uint8(), len(flags), [None, pa.py_buffer(bytes(flags))])
    return octets.cast(pa.bool_()).buffers()[1]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# How a column of each type is built, and what stands in the place of a null.
_BUILDERS: dict[ColumnType, tuple[Callable[[list[Any], Any], pa.Array], Any]] = {
    "string": (_string, ""),
    "json": (_json, b""),
    "strings": (_strings, ()),
    "boolean": (_boolean, False),
    "integer": (_integer, 0),
    "number": (_number, 0.0),
    "timestamp": (_timestamp, _EPOCH),
}
