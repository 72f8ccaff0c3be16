"""
Parquet, and zstd for the other formats. The only module that imports pyarrow.

Columns are built from buffers: ``pyarrow.array`` on a list is shorter, but loads pandas where it is installed, which
costs a second and 60 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_langsmith.export.encoders import GZIP_LEVEL
from airflow_langsmith.views import Column, ColumnType, Rows, View

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


def zstd_file(path: Path) -> Any:
    """Open a file that is compressed as it is written."""
    return pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd")


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
        self._group: list[pa.RecordBatch] = []
        self._size = 0
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
        built = [_array(column, values) for column, values in zip(self._columns, rows.columns, strict=True)]
        batch = pa.RecordBatch.from_arrays(built, schema=self._schema)
        start = 0
        for place, size in enumerate(self._sizes(batch), 1):
            self._size += size
            if self._size >= ROW_GROUP:
                self._group.append(batch.slice(start, place - start))
                self._flush()
                start = place
        self._group.append(batch.slice(start))

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def _sizes(self, batch: pa.RecordBatch) -> Iterable[int]:
        texts = [pc.binary_length(batch[name]).fill_null(0).to_pylist() for name in self._texts]
        return map(sum, zip([ROW_OVERHEAD] * batch.num_rows, *texts, strict=True))

    def _flush(self) -> None:
        # In one piece, for pyarrow ends data pages where chunks end, and those are LangSmith's pages.
        table = pa.Table.from_batches(self._group, self._schema).combine_chunks()
        if table.num_rows:
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._group, self._size = [], 0


def _leaf(column: Column) -> str:
    """Name a column's values as Parquet does."""
    return f"{column.name}.list.element" if column.type == "strings" else column.name


def _array(column: Column, values: list[Any]) -> pa.Array:  # noqa: PLR0911  # one for each type of the contract
    match column.type:
        case "string":
            return _text([value.encode() if value is not None else None for value in values])
        case "json":
            return _text([memoryview(raw) if raw is not None else None for raw in values])
        case "timestamp":
            return _fixed("q", TYPES["timestamp"], [_micros(value) for value in values])
        case "integer":
            return _fixed("q", pa.int64(), values)
        case "number":
            return _fixed("d", pa.float64(), values)
        case "boolean":
            present = _bits([value is not None for value in values])
            return pa.Array.from_buffers(pa.bool_(), len(values), [present, _bits(map(bool, values))])
        case "strings":
            items = _text([item.encode() for value in values for item in value or ()])
            offsets = array("i", accumulate((len(value or ()) for value in values), initial=0))
            present = _bits([value is not None for value in values])
            return pa.Array.from_buffers(
                TYPES["strings"], len(values), [present, pa.py_buffer(offsets)], children=[items]
            )


def _text(values: list[bytes | memoryview | None]) -> pa.Array:
    offsets = array("i", accumulate((len(value) if value is not None else 0 for value in values), initial=0))
    content = b"".join(value for value in values if value is not None)
    present = _bits([value is not None for value in values])
    binary = [present, pa.py_buffer(offsets), pa.py_buffer(content)]
    # The cast checks that it is UTF-8, which msgspec leaves unchecked in raw payloads.
    return pa.Array.from_buffers(pa.binary(), len(values), binary).cast(pa.string())


def _fixed(code: str, type_: pa.DataType, values: list[Any]) -> pa.Array:
    present = _bits([value is not None for value in values])
    numbers = array(code, [0 if value is None else value for value in values])
    return pa.Array.from_buffers(type_, len(values), [present, pa.py_buffer(numbers)])


def _bits(flags: Iterable[bool]) -> pa.Buffer:
    flagged = bytes(flags)
    octets = pa.Array.from_buffers(pa.uint8(), len(flagged), [None, pa.py_buffer(flagged)])
    return octets.cast(pa.bool_()).buffers()[1]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND
